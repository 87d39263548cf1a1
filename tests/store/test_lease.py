"""Of several machines that want to write below a prefix of S3, one may."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from samples import make_video

from seehear.errors import LibraryError
from seehear.store import Store, bucket, lease, tables
from waiting import LIMIT_S

LOOP = Path(__file__).with_name("ingest_loop.py")


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


@pytest.mark.slow
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
        child.join(LIMIT_S)
    assert [child.exitcode for child in children] == [0, 0, 0]
    names = {acknowledged.get(timeout=LIMIT_S) for _ in range(12)}
    with Store.open(remote.root) as store:
        assert {make_video(name)[0] for name in names} <= set(store.videos())
        assert store.counts() == {"videos": 17, "items": 33}
        assert [line for line in store.verify(full=True) if line[:5] != "note:"] == []


@pytest.mark.slow
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


def test_a_writer_that_paused_in_the_middle_of_a_commit_is_fenced(
    remote: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """It held the lease when it looked, and wakes up after another has taken over."""
    monkeypatch.setattr(lease, "EXPIRES_S", -100.0)
    asleep, awake = threading.Event(), threading.Event()
    check = remote.place.check

    def check_and_pause() -> None:
        check()
        if not asleep.is_set():
            asleep.set()
            awake.wait(LIMIT_S)

    monkeypatch.setattr(remote.place, "check", check_and_pause)
    told: list[str] = []

    def put() -> None:
        try:
            remote.put([make_video("first")])
        except LibraryError as error:
            told.append(str(error))

    paused = threading.Thread(target=put)
    paused.start()
    assert asleep.wait(LIMIT_S)
    on_another_machine(monkeypatch, tmp_path, "other")
    with Store.open(remote.root, write=True) as second:
        awake.set()
        paused.join(LIMIT_S)
        assert len(told) == 1 and "another machine has become the writer" in told[0]
        second.put([make_video("second")])
        assert second.counts()["videos"] == 6
        assert make_video("first")[0] not in second.videos()
        assert [line for line in second.verify(full=True) if line[:5] != "note:"] == []


def test_what_was_written_while_the_fence_went_up_stays(remote: Store):
    """A version that comes between looking and fencing is not undone."""
    import lance

    head = lance.dataset(remote.place.uri("videos"), storage_options=remote.place.options)
    remote.put([make_video("new")])
    opened = (head, [])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tables, "open_table", lambda *_: opened)
        tables.fence(remote.place, "videos")
    with Store.open(remote.root) as reader:
        assert reader.counts()["videos"] == 6
