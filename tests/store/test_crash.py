"""Writers that are killed, and other processes that read or want to write at the same time."""

import itertools
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from samples import HEARD, MODEL, SEEN, make_video

from seehear.errors import LibraryError
from seehear.store import Store
from seehear.store.tables import commit
from waiting import LIMIT_S, wait_until

SCRIPT = Path(__file__).with_name("ingest_loop.py")


@contextmanager
def ingesting(root: Path, *, first: int, seed: int) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A writer that has begun, and the file of its output."""
    output = root.with_name(f"output {first}.jsonl")
    command = [sys.executable, str(SCRIPT), str(root), str(first), str(seed)]
    with output.open("w") as out:
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: output.stat().st_size or child.poll() is not None, "the first line")
        yield child, output
        assert child.poll() is None, "the writer exited"
    finally:
        child.kill()
        _, errors = child.communicate()
    assert not errors, errors


def killed_after(root: Path, *, first: int, seed: int, delay_s: float) -> list[dict[str, Any]]:
    """Output of a writer that is killed `delay_s` after its first line."""
    with ingesting(root, first=first, seed=seed) as (_, output):
        time.sleep(delay_s)
    lines = output.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1]]  # the last line may be truncated


@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_no_acknowledged_write_is_lost_when_writers_are_killed(tmp_path: Path, kills: int):
    root = tmp_path / "library"
    Store.create(root, model=MODEL, seen_dim=SEEN, heard_dim=HEARD).close()
    chance = random.Random()
    acknowledged: dict[str, int | None] = {}
    takes = 0
    for kill in range(kills):
        delay_s = chance.uniform(0, 0.5)
        lines = killed_after(root, first=takes, seed=kill, delay_s=delay_s)
        begun: dict[str, int | None] = {}
        for line in lines:
            if "ok" in line:
                acknowledged |= begun
                begun = {}
            else:
                begun = line["try"]
        takes += len(lines)
        for write in (False, True):  # only a writer repairs
            with Store.open(root, write=write) as store:
                found = visible(store)
                assert found in (shown(acknowledged), shown(acknowledged | begun)), (kill, delay_s)
                problems = [line for line in store.verify(full=True) if line[:5] != "note:"]
                assert problems == [], (kill, delay_s)
        acknowledged |= {name: found.get(name) for name in begun}
    assert takes > kills


def shown(takes: dict[str, int | None]) -> dict[str, int]:
    return {name: take for name, take in takes.items() if take is not None}


def visible(store: Store) -> dict[str, int]:
    """Take of every video by name, after comparing all of its data."""
    found: dict[str, int] = {}
    items = {item.id: item for item in store.items()}
    for video in store.videos():
        name, take = Path(video.path).stem, video.size_bytes - 1000
        same, sent = make_video(name, items=1 + take % 3, take=take)
        assert video == same
        tokens = store.tokens([item.id for item in sent])
        for at, item in enumerate(sent):
            np.testing.assert_array_equal(items.pop(item.id).seen, item.seen.astype(np.float32))
            assert store.thumbnail(item.id) == item.thumbnail
            assert item.tokens is not None
            frames = tokens.frames[at][tokens.frame_mask[at]]
            np.testing.assert_array_equal(frames, item.tokens.frames[0])
        found[name] = take
    assert not items
    return found


def test_readers_see_complete_videos_while_another_process_writes(tmp_path: Path):
    root = tmp_path / "library"
    Store.create(root, model=MODEL, seen_dim=SEEN, heard_dim=HEARD).close()
    seen: set[tuple[tuple[str, int], ...]] = set()
    with ingesting(root, first=0, seed=99) as (child, _), Store.open(root) as reader:
        until = time.monotonic() + LIMIT_S
        while len(seen) < 6 and time.monotonic() < until:
            reader.refresh()
            seen.add(tuple(sorted(visible(reader).items())))
            near = reader.nearest("seen", np.ones(SEEN), k=5)
            assert len(near.ids) == min(5, reader.counts()["items"])
            assert [line for line in reader.verify() if line[:5] != "note:"] == []
        with pytest.raises(LibraryError, match=rf"another process \(pid {child.pid}\) is indexing"):
            Store.open(root, write=True)
    assert len(seen) == 6
    Store.open(root, write=True).close()


def killed_in_a_commit(root: str, turn: int, is_before: bool) -> None:
    """Kill this process before or after one of the commits of a batch."""
    commit_change, begun = commit.commit_change, itertools.count()

    def dying(*arguments: Any) -> Any:
        is_the_one = next(begun) == turn
        if is_the_one and is_before:
            os.kill(os.getpid(), signal.SIGKILL)
        after = commit_change(*arguments)
        if is_the_one:
            os.kill(os.getpid(), signal.SIGKILL)
        return after

    with Store.open(root, write=True) as store, pytest.MonkeyPatch.context() as patched:
        patched.setattr(commit, "commit_change", dying)
        store.put([make_video("new", items=2)])


@pytest.mark.parametrize("kind", ["folder", "bucket"])
@pytest.mark.parametrize(("turn", "is_before"), [(0, True), (0, False), (3, True), (3, False)])
def test_a_batch_of_a_killed_writer_is_committed_once(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, turn: int, is_before: bool
):
    root = str(tmp_path / "l") if kind == "folder" else str(request.getfixturevalue("address"))
    with Store.create(root, model=MODEL, seen_dim=SEEN, heard_dim=HEARD) as store:
        store.put([make_video("old", items=1)])
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=killed_in_a_commit, args=(root, turn, is_before))
    child.start()
    child.join(LIMIT_S)
    assert child.exitcode == -signal.SIGKILL
    with Store.open(root, write=True) as store:
        assert store.counts() == {"videos": 2, "items": 3}
        tables = store.snapshot.tokens_table, store.snapshot.summaries_table
        assert [table.count_rows() for table in tables] == [3, 3]
        assert store.verify(full=True) == []
