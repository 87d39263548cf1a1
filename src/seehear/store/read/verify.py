"""Verification: find missing or duplicate rows, wrong checksums and unfinished batches."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from seehear.errors import LibraryError, counted
from seehear.store.backend.journal import Journal
from seehear.store.backend.protocol import Backend
from seehear.store.read.snapshot import Snapshot, name_of
from seehear.store.tables import codec, schema
from seehear.store.tables.lance import open_table

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLE_SIZE = 200
READ_ITEMS = 64  # whose tokens are read at once
NOTE = "note: "


def verify(backend: Backend, journal: Journal, *, full: bool) -> list[str]:
    """Return problems, one line each; lines that begin with 'note: ' are not problems.

    Compares the checksums of 200 random items, or of all items with `full`.
    """
    problems = [
        f"table '{name}' has versions that cannot be read; open the library for writing to repair"
        for name in backend.latest_versions()
        if open_table(backend, name)[1]
    ]
    snapshot = Snapshot(backend)
    try:
        problems += _rows(snapshot) + _checksums(snapshot, full=full)
        notes = [] if problems else _orphans(snapshot)
    except LibraryError as error:
        return [*problems, str(error)]
    unfinished = sum(not batch.is_done for batch in journal.batches())
    if unfinished:
        notes.append(
            f"{NOTE}unfinished batches: {unfinished}; the running writer, or the next, commits them"
        )
    return problems + notes


def _rows(snapshot: Snapshot) -> list[str]:
    found = [
        f"video {video_id} is hidden because items are missing; index it again"
        for video_id in snapshot.revisions
        if video_id not in snapshot.videos
    ]
    twice = snapshot.videos_table.count_rows() - len(snapshot.revisions)
    if twice:
        found.append(
            f"table 'videos' contains {counted(twice, 'duplicate video')}; index the files again"
        )
    expected = {row.id for row in snapshot.rows}
    for table in (snapshot.tokens_table, snapshot.media_table):
        ids = [item_id for item_id, _, _ in snapshot.current_rows(table)]
        missing, twice = expected.difference(ids), len(ids) - len(set(ids))
        if missing or twice:
            found.append(
                f"table '{name_of(table)}' lacks {len(missing)} of "
                f"{counted(len(expected), 'item')} and contains {twice} twice; index their videos "
                "again"
            )
    return found


def _checksums(snapshot: Snapshot, *, full: bool) -> list[str]:
    ids = [row.id for row in snapshot.rows]
    chosen = ids if full else random.sample(ids, min(SAMPLE_SIZE, len(ids)))
    found = _summaries(snapshot, set(chosen))
    for at in range(0, len(chosen), READ_ITEMS):
        found += _tokens(snapshot, chosen[at : at + READ_ITEMS])
    return found


def _tokens(snapshot: Snapshot, ids: Sequence[str]) -> list[str]:
    found: list[str] = []
    try:
        for item_id, raw in snapshot.encoded_tokens(ids):
            try:
                codec.unpack(raw, item_id)
            except ValueError as error:
                found.append(f"tokens of item {item_id} are damaged ({error})")
    except LibraryError as error:
        if len(ids) == 1:
            return [f"tokens of item {ids[0]} cannot be read ({error})"]
        return [line for item_id in ids for line in _tokens(snapshot, [item_id])]
    return found


def _summaries(snapshot: Snapshot, ids: set[str]) -> list[str]:
    found: list[str] = []
    table, columns = snapshot.summaries_table, ("id", "video_id", "rev", "crc")
    with snapshot.reading(table):
        for batch in table.to_batches(columns=[*columns, "seen", "heard"]):
            vectors = (
                batch[name].flatten().to_numpy().reshape(len(batch), -1)
                for name in ("seen", "heard")
            )
            keys = zip(*(batch[name].to_pylist() for name in columns), strict=True)
            for (item_id, video_id, rev, crc), seen, heard in zip(keys, *vectors, strict=True):
                is_current = item_id in ids and snapshot.revisions.get(video_id) == rev
                if is_current and schema.summary_crc(seen, heard) != crc:
                    found.append(f"summaries of item {item_id} are damaged (checksum differs)")
    return found


def _orphans(snapshot: Snapshot) -> list[str]:
    found: list[str] = []
    for table in (snapshot.summaries_table, snapshot.tokens_table, snapshot.media_table):
        rows = table.count_rows() - len(snapshot.current_rows(table))
        tracked = {stem(path) for batch in table.tracked_files() for path in _paths(batch)}
        untracked = {
            path
            for batch in table.all_files()
            for path in _paths(batch)
            if path.startswith("data/") and stem(path) not in tracked
        }
        if rows or untracked:
            found.append(
                f"{NOTE}table '{name_of(table)}' contains {counted(rows, 'unused row')} and "
                f"{counted(len(untracked), 'unused file')}; maintenance removes them"
            )
    return found


def _paths(batch: pa.RecordBatch) -> list[str]:
    return batch["path"].to_pylist()


def stem(path: str) -> str:
    """Name that a data file and the folder of its blobs share."""
    return path.split("/")[1].split(".")[0]
