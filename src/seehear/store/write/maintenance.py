"""Maintenance: delete unused rows, compact, build vector indices, delete old versions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from seehear.errors import counted
from seehear.store.backend.journal import TableChange
from seehear.store.backend.protocol import CATALOG, VIDEOS
from seehear.store.read.snapshot import Snapshot
from seehear.store.tables import schema
from seehear.store.tables.commit import Committer
from seehear.store.tables.lance import compact
from seehear.store.write.build_ann import QuerySource, build_indices

FRAGMENT_BYTES = 2 << 30
SMALL_FRAGMENTS = 16  # compact only this many, so that a wide table is not rewritten every time
BATCH_BYTES, MIN_BATCH_ROWS, MAX_BATCH_ROWS = 8 << 20, 16, 8192  # read at once while compacting
KEEP_VERSIONS = timedelta(hours=1)  # for readers that still use them


def maintain(
    committer: Committer,
    calibration_queries: QuerySource | None = None,
    *,
    keep_uncommitted: bool = False,
) -> list[str]:
    """Run all tasks on every table; return what was done. A failing task does not stop the others.

    Files that no version uses are deleted; `keep_uncommitted` keeps them while workers write.
    """
    tasks: tuple[tuple[str, Callable[[Committer, str], str]], ...] = (
        ("delete unused rows", _delete_unused_rows),
        ("compact", _compact),
        ("index", partial(_index, calibration_queries=calibration_queries)),
        ("delete old versions", partial(_vacuum, keep_uncommitted=keep_uncommitted)),
    )
    done: list[str] = []
    for table in committer.backend.latest_versions():
        for name, task in tasks:
            committer.check_lease()
            try:
                result = task(committer, table)
            except Exception as error:  # Lance raises many types; the next task must run
                result = f"could not {name}: {error}"
            if result:
                done.append(f"{table}: {result}")
    return done


def _delete_unused_rows(committer: Committer, table: str) -> str:
    if table in (CATALOG, VIDEOS):
        return ""
    revisions = Snapshot(committer.backend).revisions
    rows = committer.table(table).to_table(columns=["video_id", "rev"]).to_pydict()
    unused: dict[int, set[str]] = defaultdict(set)
    for video_id, rev in zip(rows["video_id"], rows["rev"], strict=True):
        if revisions.get(video_id) != rev:
            unused[rev].add(video_id)
    if not unused:
        return ""
    condition = " OR ".join(
        f"(rev = {rev} AND video_id IN {schema.sql_list(sorted(ids))})"
        for rev, ids in unused.items()
    )
    committer.commit([(TableChange(table=table, delete=condition), None)], committer.next_id())
    videos = counted(sum(map(len, unused.values())), "replaced or removed video")
    return f"deleted rows of {videos}"


def _compact(committer: Committer, table: str) -> str:
    dataset, backend = committer.table(table), committer.backend
    size_bytes = sum(backend.file_sizes(f"{table}/data/").values())
    row_bytes = max(1, size_bytes // max(1, dataset.count_rows()))
    fragment_rows = max(64, FRAGMENT_BYTES // row_bytes)
    small = sum(each.count_rows() < fragment_rows for each in dataset.get_fragments())
    if small < SMALL_FRAGMENTS:
        return ""
    batch_rows = min(max(MIN_BATCH_ROWS, BATCH_BYTES // row_bytes), MAX_BATCH_ROWS)
    removed, added = compact(
        backend, table, dataset, fragment_rows=fragment_rows, batch_rows=batch_rows
    )
    committer.invalidate(table)
    return f"joined {counted(removed, 'fragment')} into {added}"


def _index(committer: Committer, table: str, *, calibration_queries: QuerySource | None) -> str:
    if not calibration_queries or not table.startswith(schema.SUMMARIES_PREFIX):
        return ""
    return build_indices(committer, table, calibration_queries)


def _vacuum(committer: Committer, table: str, *, keep_uncommitted: bool) -> str:
    stats = committer.table(table).cleanup_old_versions(
        older_than=KEEP_VERSIONS, delete_unverified=not keep_uncommitted
    )
    committer.backend.vacuum(table)
    freed = stats.bytes_removed
    versions = counted(stats.old_versions, "old version")
    return f"freed {freed / 1e6:.1f} MB of {versions}" if freed else ""
