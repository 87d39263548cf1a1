"""Libraries on a real S3 server: who may write, and what happens when it does not answer."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from samples import HEARD, MODEL, SEEN, five, make_video

from seaweed import Seaweed
from seehear.errors import LibraryError, UsageError
from seehear.store import Store, bucket, lease

LOOP = Path(__file__).with_name("ingest_loop.py")


@pytest.fixture
def remote(address: str) -> Iterator[Store]:
    """A library with five videos on S3, opened for writing."""
    with Store.create(address, model=MODEL, seen_dim=SEEN, heard_dim=HEARD) as made:
        made.put(five())
        yield made


def on_another_machine(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / name))


def test_another_machine_is_refused_until_the_writer_ends(
    remote: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    on_another_machine(monkeypatch, tmp_path, "other")
    with pytest.raises(LibraryError, match=rf"another machine \(.*pid {os.getpid()}\) is indexing"):
        Store.open(remote.root, write=True)
    with Store.open(remote.root) as reader:
        assert reader.counts()["videos"] == 5
    remote.close()
    with Store.open(remote.root, write=True) as store:
        store.put([make_video("new")])
        assert store.counts()["videos"] == 6


def test_a_second_process_of_this_machine_is_refused(remote: Store):
    with pytest.raises(LibraryError, match=rf"another process \(pid {os.getpid()}\)"):
        Store.open(remote.root, write=True)


def test_two_committers_cannot_both_win(
    remote: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """A writer that was silent for too long learns that another took over, and writes nothing."""
    monkeypatch.setattr(lease, "EXPIRES_S", -100.0)  # the clock of S3 has whole seconds
    on_another_machine(monkeypatch, tmp_path, "other")
    with Store.open(remote.root, write=True) as second:
        second.put([make_video("second")])
        with pytest.raises(LibraryError, match="another machine has become the writer"):
            remote.put([make_video("first")])
        assert second.counts()["videos"] == 6
        assert make_video("first")[0] not in second.videos()
        second.put([make_video("third")])
        assert second.counts()["videos"] == 7
        assert [line for line in second.verify(full=True) if line[:5] != "note:"] == []


def test_of_many_that_take_at_once_one_wins(remote: Store, tmp_path: Path):
    remote.close()
    places = [bucket.Bucket(str(remote.root)) for _ in range(6)]
    start = threading.Barrier(len(places))
    outcomes: list[str] = []

    def take(place: bucket.Bucket, owner: str) -> None:
        place._lease._owner = lambda: owner  # type: ignore[method-assign]
        start.wait()
        try:
            place.claim()
            outcomes.append("won")
        except LibraryError as error:
            outcomes.append("refused" if "another machine" in str(error) else str(error))

    takers = [
        threading.Thread(target=take, args=(place, f"owner {n}")) for n, place in enumerate(places)
    ]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join()
    assert sorted(outcomes) == ["refused"] * 5 + ["won"]
    for place in places:
        place.release()


def appender(root: str, number: int, acknowledged: Any) -> None:
    """A machine of its own that wants to add videos, and asks again while it is refused."""
    os.environ["XDG_DATA_HOME"] = f"{os.environ['XDG_DATA_HOME']}-{number}"
    for turn in range(4):
        name = f"{number} {turn}"
        while True:
            try:
                with Store.open(root, write=True) as store:
                    store.put([make_video(name)])
                    acknowledged.put(name)
                break
            except LibraryError as error:
                assert "another machine" in str(error), error
                time.sleep(0.02 * (number + 1))


def test_a_storm_of_appenders_loses_nothing(remote: Store):
    remote.close()
    context = multiprocessing.get_context("spawn")
    acknowledged = context.Queue()
    children = [
        context.Process(target=appender, args=(remote.root, number, acknowledged))
        for number in range(3)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(120)
    assert [child.exitcode for child in children] == [0, 0, 0]
    names = {acknowledged.get(timeout=5) for _ in range(12)}
    with Store.open(remote.root) as store:
        assert {make_video(name)[0] for name in names} <= set(store.videos())
        assert store.counts() == {"videos": 17, "items": 33}
        assert [line for line in store.verify(full=True) if line[:5] != "note:"] == []


def test_a_killed_writer_is_succeeded_at_once_on_its_machine(remote: Store, tmp_path: Path):
    remote.close()
    for turn in range(3):
        command = [sys.executable, str(LOOP), str(remote.root), str(1000 * turn), str(turn)]
        with (tmp_path / f"said {turn}").open("w+") as said:
            child = subprocess.Popen(command, stdout=said)
            while said.tell() < 400 and child.poll() is None:
                time.sleep(0.05)
                said.seek(0, 2)
            child.send_signal(signal.SIGKILL)
            child.wait()
        with Store.open(remote.root, write=True) as store:
            problems = store.verify(full=True)
            assert [line for line in problems if line[:5] != "note:"] == []
            assert (
                make_video("c", items=3, path="/films/more/c.mp4", duration_s=300.0)[0]
                in store.videos()
            )


def test_a_batch_of_before_another_writer_came_is_forgotten(
    remote: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    here = os.environ["XDG_DATA_HOME"]
    with monkeypatch.context() as patched:
        patched.delattr("seehear.store.tables.commit")
        with pytest.raises(AttributeError):
            remote.put([make_video("a", items=1, take=1)])
    remote.close()
    on_another_machine(monkeypatch, tmp_path, "other")
    with Store.open(remote.root, write=True) as other:
        other.put([make_video("a", items=1, take=2)])
    monkeypatch.setenv("XDG_DATA_HOME", here)
    with Store.open(remote.root, write=True) as store:
        assert {v.size_bytes for v in store.videos()} == {1000, 1002}
        assert store.journal.batches() == []


@pytest.mark.slow
def test_a_server_that_stops_for_a_while_is_waited_for(remote: Store, s3: Seaweed):
    """The server goes away in the middle of writing, and in the middle of reading."""
    reader = Store.open(remote.root)
    s3.stop()
    back = threading.Timer(4.0, s3.start)
    back.start()
    try:
        remote.put([make_video("new")])
        assert remote.counts()["videos"] == 6
        s3.stop()
        again = threading.Timer(4.0, s3.start)
        again.start()
        back = again
        ids = reader.summaries().ids
        assert len(reader.tokens(ids).frames) == 9
        reader.refresh()
        assert reader.counts()["videos"] == 6
    finally:
        back.join()
        s3.wait()
    assert remote.verify(full=True) == []
    reader.close()


def test_a_server_that_stays_away_ends_in_a_sentence(
    remote: Store, monkeypatch: pytest.MonkeyPatch
):
    remote.close()
    monkeypatch.setattr(bucket, "PATIENCE_S", 1.0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    began = time.monotonic()
    with pytest.raises(LibraryError, match=r"'127.0.0.1:9' did not answer for 1 s .*check AWS_"):
        Store.open(remote.root)
    assert 0.3 < time.monotonic() - began < 10


def test_what_is_no_library_is_told(remote: Store, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(LibraryError, match="there is no bucket 'nowhere'"):
        Store.open("s3://nowhere/library")
    with pytest.raises(LibraryError, match="there is no bucket 'nowhere'"):
        Store.create("s3://nowhere/library", model=MODEL, seen_dim=SEEN, heard_dim=HEARD)
    with pytest.raises(LibraryError, match="there is no library at"):
        Store.open(f"{remote.root}-none")
    with pytest.raises(LibraryError, match="holds no whole library"):
        Store.open(f"{remote.root}/videos")
    with pytest.raises(LibraryError, match="already a library"):
        Store.create(remote.root, model=MODEL, seen_dim=SEEN, heard_dim=HEARD)
    with pytest.raises(UsageError, match="s3://BUCKET/PREFIX"):
        Store.open("s3://shelf")


def test_no_secret_is_written_anywhere(remote: Store, tmp_path: Path):
    remote.close()
    stored = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "journal.sqlite" for path in stored)
    place = bucket.Bucket(str(remote.root))
    raw = [place._fs.open_input_stream(place._base + name).read() for name in place.files("")]
    for content in (*raw, *(path.read_bytes() for path in stored)):
        assert b"AWS_" not in content and b"secret" not in content


class Answering(BaseHTTPRequestHandler):
    """Answers every request as an S3 server that refuses it."""

    status, code = 403, ""

    def do_GET(self) -> None:
        body = f"<Error><Code>{self.code}</Code><Message>no</Message></Error>".encode()
        self.send_response(self.status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Forgetful(BaseHTTPRequestHandler):
    """Passes requests on to a server, without the conditions of a PUT."""

    endpoint = ""

    def _pass_on(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("if-none-match",)}
        server = HTTPConnection(self.endpoint.removeprefix("http://"))
        server.request(self.command, self.path, self.rfile.read(size), headers)
        answer = server.getresponse()
        status, told, body = answer.status, answer.headers, answer.read()
        server.close()
        self.send_response(status)
        for name, value in told.items():
            if name.lower() not in ("transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _pass_on

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Starts a server of a handler class and puts its address into the environment."""
    servers: list[ThreadingHTTPServer] = []

    def listen(handler: type[BaseHTTPRequestHandler]) -> None:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")

    yield listen
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("AccessDenied", "no permission for 's3://shelf/library'"),
        ("RequestTimeTooSkewed", "the clock of this machine differs too much"),
    ],
)
def test_refusals_are_told_in_words(address: str, listening: Any, code: str, sentence: str):
    listening(type("Refusing", (Answering,), {"code": code}))
    with pytest.raises(LibraryError, match=sentence):
        Store.open("s3://shelf/library")


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_keys_are_told_in_words(remote: Store, monkeypatch: pytest.MonkeyPatch, name: str):
    root = str(remote.root)
    remote.close()
    monkeypatch.setenv(name, "wrong")
    with pytest.raises(LibraryError, match=f"no permission for '{root}'"):
        Store.open(root)


def test_a_server_that_ignores_conditions_is_refused(address: str, listening: Any, tmp_path: Path):
    """Its signatures would not allow to change a request, so it is one that asks for no keys."""
    server = Seaweed(tmp_path / "open", asks_keys=False)
    server.start()
    try:
        server.wait()
        listening(type("Passing", (Forgetful,), {"endpoint": server.endpoint}))
        _refuse_creation(address)
    finally:
        server.stop()


def _refuse_creation(address: str) -> None:
    with pytest.raises(LibraryError, match="ignores conditional writes"):
        Store.create(address, model=MODEL, seen_dim=SEEN, heard_dim=HEARD)


def test_nearest_is_the_same_on_both(remote: Store, tmp_path: Path):
    with Store.create(tmp_path / "l", model=MODEL, seen_dim=SEEN, heard_dim=HEARD) as local:
        local.put(five())
        ours, theirs = (s.nearest("seen", np.ones(SEEN), k=9) for s in (local, remote))
    assert ours.ids == theirs.ids
    np.testing.assert_array_equal(ours.scores, theirs.scores)
