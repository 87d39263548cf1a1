"""Libraries on a real S3 server: who may write, and what happens when it does not answer."""

import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bad_servers import Answering, Forgetful, Losing
from samples import HEARD, MODEL, SEEN, five, make_video

from seaweed import Seaweed
from seehear.errors import LibraryError, UsageError
from seehear.store import Store, bucket, lease

LOOP = Path(__file__).with_name("ingest_loop.py")


def test_a_commit_whose_answer_is_lost_is_not_made_twice(
    remote: Store, listening: Any, monkeypatch: pytest.MonkeyPatch
):
    """The server has the new version, the writer hears nothing and asks again."""
    root = str(remote.root)
    remote.close()
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    losing = type("Losing", (Losing,), {"endpoint": endpoint, "lost": []})
    listening(losing)
    place = bucket.Bucket(root)
    monkeypatch.setattr(bucket.Bucket, "own", place.own)
    with Store.open(root, write=True) as store:
        losing.is_armed = True
        store.put([make_video("new", items=2)])
        losing.is_armed = False
        assert store.counts() == {"videos": 6, "items": 11}
        assert store.verify(full=True) == []
    assert {name.split("/")[-3] for name in losing.lost} >= {"videos", "media"}


def test_a_server_that_stays_away_ends_in_a_sentence(
    remote: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    remote.close()
    monkeypatch.setattr(bucket, "PATIENCE_S", 1.0)
    monkeypatch.setattr(bucket, "SILENCE_S", 0.1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    began = time.monotonic()
    with pytest.raises(LibraryError, match=r"'127.0.0.1:9' did not answer for 1 s .*check AWS_"):
        Store.open(remote.root)
    assert 0.3 < time.monotonic() - began < 10
    said = "the S3 server '127.0.0.1:9' does not answer; waiting for it"
    assert [record.getMessage() for record in caplog.records] == [said]


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


def test_a_server_that_ignores_conditions_is_refused(
    address: str, listening: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its signatures would not allow to change a request, so it is one that asks for no keys."""
    monkeypatch.setattr(lease, "RACERS", 8)
    monkeypatch.setattr(lease, "ROUNDS", 2)
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
