"""Uncommitted fragments of workers: invisible until the writer commits them together."""

import multiprocessing
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from pyarrow.fs import S3FileSystem
from samples import make_video

from seaweed import Seaweed
from seehear.store import StagedRows, Staging, Store, backend_for
from seehear.store.tables import commit
from seehear.store.tables.lance import open_table
from seehear.types import Item
from waiting import LIMIT_S


def write(staging: Staging, *names: str, take: int = 0) -> StagedRows:
    """Write fragments as a worker does, with its own backend."""
    made = [make_video(name, items=2, take=take) for name in names]
    return staging.write_fragments(made, backend_for(staging.root))


def write_and_die(staging: Staging) -> None:
    write(staging, "new")
    os.kill(os.getpid(), signal.SIGKILL)


def unused(store: Store) -> list[str]:
    return [line for line in store.verify(full=True) if "unused file" in line]


def test_fragments_of_a_killed_worker_are_invisible(remote: Store):
    staging = remote.writer.staging()
    child = multiprocessing.get_context("spawn").Process(target=write_and_die, args=(staging,))
    child.start()
    child.join(LIMIT_S)
    assert child.exitcode == -signal.SIGKILL
    assert remote.counts() == {"videos": 5, "items": 9}
    assert len(unused(remote)) == 3
    remote.put([], [write(staging, "new")])  # another worker repeats it
    assert remote.counts() == {"videos": 6, "items": 11}
    remote.maintain(keep_uncommitted=True)
    assert len(unused(remote)) == 3  # they may be committed later
    remote.maintain()
    assert remote.verify(full=True) == []
    assert remote.counts() == {"videos": 6, "items": 11}


def test_fragments_of_several_workers_are_committed_in_one_version(remote: Store):
    staging = remote.writer.staging()
    with ThreadPoolExecutor(3) as pool:
        staged = list(pool.map(lambda name: write(staging, name, f"{name}+"), "pqr"))
    before = remote.backend.latest_versions()
    remote.put([make_video("mine")], staged)
    after = remote.backend.latest_versions()
    rows = set(before) - {"catalog"}
    assert {name: after[name] - before[name] for name in rows} == dict.fromkeys(rows, 1)
    assert remote.counts() == {"videos": 12, "items": 23}
    assert remote.verify(full=True) == []


def test_staged_rows_replace_those_of_the_same_video(remote: Store):
    remote.put([], [write(remote.writer.staging(), "a", take=7)])
    video, items = make_video("a", items=2, take=7)
    found: dict[str, Item] = {item.id: item for item in remote.items()}
    assert remote.video(video.id) == video
    np.testing.assert_array_equal(found[items[1].id].seen, items[1].seen.astype(np.float32))
    assert remote.counts() == {"videos": 5, "items": 10}
    assert remote.verify(full=True) == []


def test_a_batch_whose_staged_files_were_lost_is_rolled_back(
    remote: Store, s3: Seaweed, monkeypatch: pytest.MonkeyPatch
):
    """The committer fails after its first commit; then a file of the batch is deleted."""
    staged = write(remote.writer.staging(), "new")
    commit_change = commit.commit_change

    def failing(*given: Any) -> Any:
        if given[2].table == "media":
            raise ConnectionError("the committer failed")
        return commit_change(*given)

    with monkeypatch.context() as patched:
        patched.setattr(commit, "commit_change", failing)
        with pytest.raises(ConnectionError):
            remote.put([], [staged])
    tokens = next(name for name in staged.fragments if name.startswith("tok__"))
    new = f"video_id = '{staged.videos[0].id}'"
    assert open_table(remote.backend, tokens)[0].count_rows(new) == 2
    thumbnails = next(name for name in staged.files if name.startswith("media/"))
    S3FileSystem(endpoint_override=s3.endpoint, region="us-east-1").delete_file(
        str(remote.root).removeprefix("s3://") + f"/{thumbnails}"
    )
    remote.put([make_video("later")])
    assert remote.counts() == {"videos": 6, "items": 11}
    assert open_table(remote.backend, tokens)[0].count_rows(new) == 0
