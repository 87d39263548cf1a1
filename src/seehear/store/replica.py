"""Local replica of one shard: a complete library, updated or rebuilt on demand."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from seehear.errors import LibraryError
from seehear.store.backend import backend_for
from seehear.store.backend.journal import TableChange
from seehear.store.backend.protocol import MEDIA, VIDEOS
from seehear.store.read.snapshot import ShardId, Snapshot
from seehear.store.store import Store
from seehear.store.tables import schema
from seehear.store.write.build_ann import QuerySource

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_VIDEOS = 64  # copied in one commit


def sync_replica(
    root: str | Path,
    folder: Path,
    shard: ShardId,
    *,
    calibration_queries: QuerySource | None = None,
) -> None:
    """Update a replica to the current contents of the shard; unchanged videos are not read again.

    A replica that is damaged or of another engine is rebuilt. `calibration_queries` as in
    `Store.maintain`.
    """
    source = Snapshot(backend_for(root), shard)
    with FileLock(folder.with_name(f"{folder.name}.lock")), _writable(folder, source) as replica:
        present, wanted = _versions(replica.snapshot), _versions(source)
        changed = [video_id for video_id in wanted if present.get(video_id) != wanted[video_id]]
        for at in range(0, len(changed), BATCH_VIDEOS):
            _copy(source, replica, changed[at : at + BATCH_VIDEOS])
        replica.remove([video_id for video_id in present if video_id not in wanted])
        if changed:
            replica.maintain(calibration_queries)


@contextmanager
def _writable(folder: Path, source: Snapshot) -> Generator[Store]:
    """Open the replica if it is intact and of the same engine, else an empty one."""
    try:
        with Store.open(folder) as replica:
            is_intact = replica.model == source.model and not replica.verify()
    except LibraryError:
        is_intact = False
    if is_intact:
        opened = Store.open(folder, write=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)
        columns = source.summaries_table.schema
        opened = Store.create(
            folder,
            model=source.model,
            seen_dim=columns.field("seen").type.list_size,
            heard_dim=columns.field("heard").type.list_size,
        )
    with opened:
        yield opened


def _versions(snapshot: Snapshot) -> dict[str, tuple[object, int]]:
    """Every visible video with its revision."""
    return {key: (video, snapshot.revisions[key]) for key, video in snapshot.videos.items()}


def _copy(source: Snapshot, replica: Store, video_ids: Sequence[str]) -> None:
    """Copy the rows of some videos as they are, revisions included."""
    wanted, model = set(video_ids), source.model
    rows = [row for row in source.rows if row.video_id in wanted]
    ids = [row.id for row in rows]
    with source.reading(source.summaries_table):
        summaries = source.summaries_table.take([row.position for row in rows])
    with source.reading(source.media_table):
        media = source.media_table.take([source.media_positions[item_id] for item_id in ids])
    tokens = schema.encoded_token_rows(summaries, [raw for _, raw in source.encoded_tokens(ids)])
    videos = [(source.videos[key], source.revisions[key]) for key in video_ids]
    tables: list[tuple[str, str, pa.Table]] = [
        (schema.tokens_table(model), "video_id", tokens),
        (MEDIA, "video_id", media),
        (schema.summaries_table(model), "video_id", summaries),
        (VIDEOS, "id", schema.video_rows(videos)),
    ]
    old = f"IN {schema.sql_list(video_ids)}"
    replica.writer.replace_rows(
        [(TableChange(table=name, delete=f"{key} {old}"), copied) for name, key, copied in tables]
    )
