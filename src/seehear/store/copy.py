"""One part of a library as a library of its own on this machine; made again when it is lost."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from seehear.errors import LibraryError
from seehear.store import door, index, schema, upkeep
from seehear.store.commit import Committer
from seehear.store.folder import Folder
from seehear.store.journal import Step
from seehear.store.place import backend_for
from seehear.store.snapshot import Part, Snapshot
from seehear.store.store import Store
from seehear.store.writer import Writer

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK = 64  # videos in one commit


def keep_copy(
    root: str | Path, folder: Path, part: Part, *, bank: index.Bank | None = None
) -> None:
    """Bring a copy up to what the part holds now; what did not change is not read again.

    A copy that is damaged, or was made by another engine, is made anew. `bank` as in
    `Store.maintain`.
    """
    source = Snapshot(backend_for(root), part)
    with FileLock(folder.with_name(f"{folder.name}.lock")), _writing(folder, source) as writer:
        held, wanted = (_videos(each) for each in (Snapshot(writer.place), source))
        changed = [video_id for video_id in wanted if held.get(video_id) != wanted[video_id]]
        for at in range(0, len(changed), CHUNK):
            _take(writer, source, changed[at : at + CHUNK])
        writer.remove([video_id for video_id in held if video_id not in wanted])
        if changed:
            upkeep.maintain(writer.committer, bank)


@contextmanager
def _writing(folder: Path, source: Snapshot) -> Generator[Writer]:
    """The copy as it is, if it is whole and of the same engine, else an empty one."""
    try:
        with Store.open(folder) as held:
            is_whole = held.model == source.model and not held.verify()
    except LibraryError:
        is_whole = False
    if not is_whole:
        shutil.rmtree(folder, ignore_errors=True)
        dims = (source.emb.schema.field(name).type.list_size for name in ("seen", "heard"))
        seen, heard = dims
        Store.create(folder, model=source.model, seen_dim=seen, heard_dim=heard).close()
    with door.locked(folder):
        place, journal = Folder(folder), door.journal(folder)
        try:
            yield Writer(place, Committer(place, journal), is_stale=False)
        finally:
            journal.close()


def _videos(snapshot: Snapshot) -> dict[str, tuple[object, int]]:
    """Every visible video with its revision."""
    return {key: (video, snapshot.revisions[key]) for key, video in snapshot.videos.items()}


def _take(writer: Writer, source: Snapshot, video_ids: Sequence[str]) -> None:
    """Rows of some videos as the source keeps them, revisions included."""
    wanted, model = set(video_ids), source.model
    rows = [row for row in source.rows if row.video_id in wanted]
    ids = [row.id for row in rows]
    with source.reading("of items"):
        summaries = source.emb.take([row.place for row in rows])
        pictures = source.media.take([source.media_places[item_id] for item_id in ids])
    tokens = schema.blob_rows(summaries, [raw for _, raw in source.blobs(ids)])
    videos = [(source.videos[key], source.revisions[key]) for key in video_ids]
    steps: list[tuple[str, str, pa.Table]] = [
        (schema.tok(model), "video_id", tokens),
        (schema.MEDIA, "video_id", pictures),
        (schema.emb(model), "video_id", summaries),
        (schema.VIDEOS, "id", schema.video_rows(videos)),
    ]
    writer.adopt(
        [
            (Step(table=table, delete=f"{key} IN {schema.quoted(video_ids)}"), held)
            for table, key, held in steps
        ]
    )
