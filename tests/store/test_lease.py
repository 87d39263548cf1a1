"""Writer lease: only one of several machines may write to a library on S3."""

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
from seehear.store import Store
from seehear.store.backend import S3Backend
from seehear.store.tables import lance as tables
from seehear.store.tables import lease
from waiting import LIMIT_S

LOOP = Path(__file__).with_name("ingest_loop.py")


def on_another_machine(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / name))


def test_another_machine_is_refused_until_the_writer_closes(
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


def test_a_writer_that_lost_its_lease_writes_nothing(
    remote: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """Its lease expired, and another machine has acquired it."""
    monkeypatch.setattr(lease, "EXPIRES_S", -100.0)  # times on S3 are whole seconds
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


def test_one_of_several_concurrent_machines_gets_the_lease(remote: Store, tmp_path: Path):
    remote.close()
    leases = [lease.Lease(S3Backend(str(remote.root))) for _ in range(6)]
    start = threading.Barrier(len(leases))
    outcomes: list[str] = []

    def acquire(each: lease.Lease, owner: str) -> None:
        each._owner = lambda: owner  # type: ignore[method-assign]
        start.wait()
        try:
            each.acquire()
            outcomes.append("acquired")
        except LibraryError as error:
            outcomes.append("refused" if "another machine" in str(error) else str(error))

    threads = [
        threading.Thread(target=acquire, args=(each, f"owner {n}")) for n, each in enumerate(leases)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["acquired"] + ["refused"] * 5
    for each in leases:
        each.release()


def appender(root: str, number: int, acknowledged: Any) -> None:
    """Add videos as another machine, retrying while it is refused."""
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
def test_concurrent_writers_lose_nothing(remote: Store):
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
def test_a_killed_writer_can_be_replaced_at_once_on_its_machine(remote: Store, tmp_path: Path):
    remote.close()
    for turn in range(3):
        command = [sys.executable, str(LOOP), str(remote.root), str(1000 * turn), str(turn)]
        with (tmp_path / f"output {turn}").open("w+") as output:
            child = subprocess.Popen(command, stdout=output)
            while output.tell() < 400 and child.poll() is None:
                time.sleep(0.05)
                output.seek(0, 2)
            child.send_signal(signal.SIGKILL)
            child.wait()
        with Store.open(remote.root, write=True) as store:
            problems = store.verify(full=True)
            assert [line for line in problems if line[:5] != "note:"] == []
            assert (
                make_video("c", items=3, path="/films/more/c.mp4", duration_s=300.0)[0]
                in store.videos()
            )


def test_an_unfinished_batch_is_dropped_after_another_machine_wrote(
    remote: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    here = os.environ["XDG_DATA_HOME"]
    with monkeypatch.context() as patched:
        patched.delattr("seehear.store.tables.commit.commit_change")
        with pytest.raises(NameError):
            remote.put([make_video("a", items=1, take=1)])
    remote.close()
    on_another_machine(monkeypatch, tmp_path, "other")
    with Store.open(remote.root, write=True) as other:
        other.put([make_video("a", items=1, take=2)])
    monkeypatch.setenv("XDG_DATA_HOME", here)
    with Store.open(remote.root, write=True) as store:
        assert {v.size_bytes for v in store.videos()} == {1000, 1002}
        assert store.journal.batches() == []


def test_a_writer_that_paused_during_a_commit_conflicts(
    remote: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """It had the lease when it checked, and continues after another machine has acquired it."""
    monkeypatch.setattr(lease, "EXPIRES_S", -100.0)
    asleep, awake = threading.Event(), threading.Event()
    committer = remote.writer.committer
    check_lease = committer.check_lease

    def check_and_pause() -> None:
        check_lease()
        if not asleep.is_set():
            asleep.set()
            awake.wait(LIMIT_S)

    monkeypatch.setattr(committer, "check_lease", check_and_pause)
    errors: list[str] = []

    def put() -> None:
        try:
            remote.put([make_video("first")])
        except LibraryError as error:
            errors.append(str(error))

    paused = threading.Thread(target=put)
    paused.start()
    assert asleep.wait(LIMIT_S)
    on_another_machine(monkeypatch, tmp_path, "other")
    with Store.open(remote.root, write=True) as second:
        awake.set()
        paused.join(LIMIT_S)
        assert len(errors) == 1 and "another machine has become the writer" in errors[0]
        second.put([make_video("second")])
        assert second.counts()["videos"] == 6
        assert make_video("first")[0] not in second.videos()
        assert [line for line in second.verify(full=True) if line[:5] != "note:"] == []


def test_bump_version_keeps_a_concurrent_commit(remote: Store):
    """A version committed between opening the table and the bump is not undone."""
    import lance

    backend = remote.backend
    before = lance.dataset(backend.table_uri("videos"), storage_options=backend.lance_options)
    remote.put([make_video("new")])
    opened = (before, [])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tables, "open_table", lambda *_: opened)
        tables.bump_version(remote.backend, "videos")
    with Store.open(remote.root) as reader:
        assert reader.counts()["videos"] == 6
