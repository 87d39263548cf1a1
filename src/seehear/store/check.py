"""Looks for damage: rows that do not belong together, checksums that differ, forgotten batches."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seehear.errors import LibraryError
from seehear.store import blob, schema, tables
from seehear.store.journal import Journal
from seehear.store.place import Place
from seehear.store.snapshot import Snapshot

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLED = 200
CHUNK = 64
NOTE = "note: "


def verify(place: Place, journal: Journal, *, full: bool) -> list[str]:
    """Problems in words, none if all is well; lines that begin with 'note: ' are no problems.

    Checksums are compared for a sample of items, or for all when `full`.
    """
    problems = [
        f"table '{name}' has versions that cannot be read; open the library for writing to repair"
        for name in place.heads()
        if tables.open_table(place, name)[1]
    ]
    snapshot = Snapshot(place)
    try:
        problems += _rows(snapshot) + _checksums(snapshot, full=full)
        notes = [] if problems else _orphans(snapshot)
    except LibraryError as error:
        return [*problems, str(error)]
    begun = sum(not batch.is_done for batch in journal.batches())
    if begun:
        notes.append(f"{NOTE}{begun} batch(es) are being written or wait to be finished")
    return problems + notes


def _rows(snapshot: Snapshot) -> list[str]:
    found = [
        f"video {video_id} is hidden: some of its items are missing; index it again"
        for video_id in snapshot.revisions
        if video_id not in snapshot.videos
    ]
    twice = snapshot.table.count_rows() - len(snapshot.revisions)
    if twice:
        found.append(f"table '{schema.VIDEOS}' holds {twice} videos twice; index them again")
    expected = {row.id for row in snapshot.rows}
    for dataset, name in ((snapshot.tok, snapshot.tok_name), (snapshot.media, schema.MEDIA)):
        with snapshot.reading(name):
            rows = dataset.to_table(columns=["id", "video_id", "rev"]).to_pydict()
        keys = zip(rows["id"], rows["video_id"], rows["rev"], strict=True)
        there = [item_id for item_id, *key in keys if snapshot.revisions.get(key[0]) == key[1]]
        missing = expected.difference(there)
        if missing or len(set(there)) < len(there):
            found.append(
                f"table '{name}' lacks {len(missing)} of {len(expected)} items and holds "
                f"{len(there) - len(set(there))} twice; index their videos again"
            )
    return found


def _checksums(snapshot: Snapshot, *, full: bool) -> list[str]:
    ids = [row.id for row in snapshot.rows]
    chosen = ids if full else random.sample(ids, min(SAMPLED, len(ids)))
    found = _summaries(snapshot, set(chosen))
    for at in range(0, len(chosen), CHUNK):
        found += _tokens(snapshot, chosen[at : at + CHUNK])
    return found


def _tokens(snapshot: Snapshot, ids: Sequence[str]) -> list[str]:
    found: list[str] = []
    try:
        for item_id, raw in snapshot.blobs(ids):
            try:
                blob.unpack(raw, item_id)
            except ValueError as error:
                found.append(f"tokens of item {item_id} are damaged ({error})")
    except LibraryError as error:
        if len(ids) == 1:
            return [f"tokens of item {ids[0]} cannot be read ({error})"]
        return [line for item_id in ids for line in _tokens(snapshot, [item_id])]
    return found


def _summaries(snapshot: Snapshot, ids: set[str]) -> list[str]:
    found: list[str] = []
    with snapshot.reading("summaries"):
        for batch in snapshot.emb.to_batches(
            columns=["id", "video_id", "rev", "seen", "heard", "crc"]
        ):
            halves = [
                batch[name].flatten().to_numpy().reshape(len(batch), -1)
                for name in ("seen", "heard")
            ]
            keys = zip(
                *(batch[name].to_pylist() for name in ("id", "video_id", "rev", "crc")), strict=True
            )
            for (item_id, video_id, rev, crc), seen, heard in zip(keys, *halves, strict=True):
                is_current = item_id in ids and snapshot.revisions.get(video_id) == rev
                if is_current and schema.summary_crc(seen, heard) != crc:
                    found.append(f"summaries of item {item_id} are damaged (checksum differs)")
    return found


def _orphans(snapshot: Snapshot) -> list[str]:
    found: list[str] = []
    for dataset in (snapshot.emb, snapshot.tok, snapshot.media):
        name = Path(dataset.uri).name
        rows = dataset.count_rows() - len(snapshot.keys(dataset))
        tracked = {stem(path) for batch in dataset.tracked_files() for path in _names(batch)}
        untracked = {
            path
            for batch in dataset.all_files()
            for path in _names(batch)
            if path.startswith("data/") and stem(path) not in tracked
        }
        if rows or untracked:
            found.append(
                f"{NOTE}table '{name}' holds {rows} rows and {len(untracked)} files that nothing "
                "needs; maintenance removes them"
            )
    return found


def _names(batch: pa.RecordBatch) -> list[str]:
    return batch["path"].to_pylist()


def stem(path: str) -> str:
    """Name that a data file and the folder of its blobs share."""
    return path.split("/")[1].split(".")[0]
