"""Rows that others laid down: unseen until the one committer shows them, all at once."""

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
from seehear.store import Staged, Staging, Store, backend_for, tables
from seehear.types import Item
from waiting import LIMIT_S


def lay(staging: Staging, *names: str, take: int = 0) -> Staged:
    """As a worker does, with a place of its own."""
    made = [make_video(name, items=2, take=take) for name in names]
    return staging.lay(made, backend_for(staging.root))


def lay_and_die(staging: Staging) -> None:
    lay(staging, "new")
    os.kill(os.getpid(), signal.SIGKILL)


def untold(store: Store) -> list[str]:
    return [line for line in store.verify(full=True) if "files that nothing needs" in line]


def staging_of(store: Store) -> Staging:
    staging = store.staging()
    assert staging is not None
    return staging


def test_a_worker_killed_before_it_told_leaves_nothing_to_see(remote: Store):
    staging = staging_of(remote)
    child = multiprocessing.get_context("spawn").Process(target=lay_and_die, args=(staging,))
    child.start()
    child.join(LIMIT_S)
    assert child.exitcode == -signal.SIGKILL
    assert remote.counts() == {"videos": 5, "items": 9}
    assert len(untold(remote)) == 3
    remote.put([], [lay(staging, "new")])  # another worker made it again
    assert remote.counts() == {"videos": 6, "items": 11}
    remote.maintain(in_flight=True)
    assert len(untold(remote)) == 3  # others may be on their way
    remote.maintain()
    assert remote.verify(full=True) == []
    assert remote.counts() == {"videos": 6, "items": 11}


def test_what_workers_laid_down_at_once_is_shown_in_one_version(remote: Store):
    staging = staging_of(remote)
    with ThreadPoolExecutor(3) as pool:
        laid = list(pool.map(lambda name: lay(staging, name, f"{name}+"), "pqr"))
    before = remote.place.heads()
    remote.put([make_video("mine")], laid)
    after = remote.place.heads()
    rows = set(before) - {"writer", "catalog"}
    assert {name: after[name] - before[name] for name in rows} == dict.fromkeys(rows, 1)
    assert remote.counts() == {"videos": 12, "items": 23}
    assert remote.verify(full=True) == []


def test_staged_rows_replace_those_of_the_same_video(remote: Store):
    remote.put([], [lay(staging_of(remote), "a", take=7)])
    video, items = make_video("a", items=2, take=7)
    held: dict[str, Item] = {item.id: item for item in remote.items()}
    assert remote.video(video.id) == video
    np.testing.assert_array_equal(held[items[1].id].seen, items[1].seen.astype(np.float32))
    assert remote.counts() == {"videos": 5, "items": 10}
    assert remote.verify(full=True) == []


def test_only_a_place_that_others_reach_lends_itself(filled: Store):
    assert filled.staging() is None


def test_a_promised_batch_whose_staged_files_were_lost_is_undone(
    remote: Store, s3: Seaweed, monkeypatch: pytest.MonkeyPatch
):
    """The committer fails after its first commit; then a file of the batch is gone."""
    staged = lay(staging_of(remote), "new")
    commit = tables.commit

    def failing(*given: Any) -> Any:
        if given[2].table == "media":
            raise ConnectionError("the committer is gone")
        return commit(*given)

    with monkeypatch.context() as patched:
        patched.setattr(tables, "commit", failing)
        with pytest.raises(ConnectionError):
            remote.put([], [staged])
    tokens = next(name for name in staged.fragments if name.startswith("tok__"))
    new = f"video_id = '{staged.videos[0].id}'"
    assert tables.open_table(remote.place, tokens)[0].count_rows(new) == 2
    pictures = next(name for name in staged.files if name.startswith("media/"))
    S3FileSystem(endpoint_override=s3.endpoint, region="us-east-1").delete_file(
        str(remote.root).removeprefix("s3://") + f"/{pictures}"
    )
    remote.put([make_video("later")])
    assert remote.counts() == {"videos": 6, "items": 11}
    assert tables.open_table(remote.place, tokens)[0].count_rows(new) == 0
