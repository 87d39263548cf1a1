"""A library in a folder or on S3: one writer, many readers, atomic batches."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from filelock import FileLock
from jaxtyping import Bool, Float

from seehear.errors import LibraryError
from seehear.store.backend import backend_for
from seehear.store.backend.journal import Journal
from seehear.store.backend.lock import acquire_file_lock, open_journal
from seehear.store.backend.protocol import CATALOG, MEDIA, VIDEOS, Backend
from seehear.store.read import verify
from seehear.store.read.snapshot import UNSHARDED, ShardId, Snapshot
from seehear.store.read.summaries import Column, Summaries
from seehear.store.tables import schema
from seehear.store.tables.commit import Committer
from seehear.store.tables.lance import create_table
from seehear.store.tables.lease import lease_for
from seehear.store.tables.schema import ItemRow
from seehear.store.write.build_ann import QuerySource
from seehear.store.write.maintenance import maintain
from seehear.store.write.staging import StagedRows
from seehear.store.write.writer import Writer
from seehear.types import Candidates, Filter, Item, Tokens, Video


class Store:
    """One library. A reader sees one snapshot until `refresh`; a writer sees its own writes.

    Note: maintenance deletes old versions after an hour; a reader must refresh before that.
    """

    def __init__(self, backend: Backend, lock: FileLock | None, shard: ShardId = UNSHARDED) -> None:
        """Use `create` or `open`; with the file lock of the writer it can write."""
        self.backend, self.root, self.shard = backend, backend.root, shard
        with ExitStack() as resources:
            self._writer = _open_writer(backend, lock, resources) if lock else None
            if self._writer:
                self.journal = self._writer.committer.journal
            else:
                self.journal = Journal(backend.local_dir, write=False)
            resources.callback(self.journal.close)
            self._snapshot: Snapshot | None = Snapshot(backend, shard)
            self._resources = resources.pop_all()

    @classmethod
    def create(
        cls, root: Path | str, *, model: Mapping[str, object], seen_dim: int, heard_dim: int
    ) -> Store:
        """Create a library for one engine and open it for writing.

        `root` is a folder or an address `s3://bucket/prefix`.
        Raises: LibraryError if the location is in use or unfit for a library.
        """
        if not model.get("fingerprint"):
            raise ValueError("a model manifest needs a 'fingerprint'")
        backend = backend_for(root)
        backend.prepare()
        lease = lease_for(backend)
        if lease:
            lease.create()
        lock = acquire_file_lock(backend.local_dir)
        catalog = schema.catalog_rows({"schema": schema.VERSION, "model": dict(model)})
        summaries = schema.item_schema(seen_dim, heard_dim)
        for name, rows in (
            (VIDEOS, schema.VIDEO_SCHEMA.empty_table()),
            (MEDIA, schema.MEDIA_SCHEMA.empty_table()),
            (schema.tokens_table(model), schema.token_schema().empty_table()),
            (schema.summaries_table(model), summaries.empty_table()),
            (CATALOG, catalog),  # last: with it, the library is complete
        ):
            create_table(backend, name, rows)
        return cls(backend, lock)

    @classmethod
    def open(cls, root: Path | str, *, write: bool = False, shard: ShardId = UNSHARDED) -> Store:
        """Open a library; a writer first repairs what a crash left unfinished.

        A reader can open one shard: the videos whose hash belongs to it.

        Raises: LibraryError if there is none, it cannot be read, or another process writes.
        """
        backend = backend_for(root)
        backend.require_library()
        if write and shard != UNSHARDED:
            raise ValueError("one shard of a library can only be opened for reading")
        return cls(backend, acquire_file_lock(backend.local_dir) if write else None, shard)

    @property
    def model(self) -> dict[str, object]:
        """Manifest of the engine that made the summaries and tokens."""
        return self.snapshot.model

    @property
    def writer(self) -> Writer:
        """Writes that are not part of `put`, `remove` and `update_metadata`, e.g. a re-index.

        Raises: ValueError if the library is open for reading.
        """
        if self._writer is None:
            raise ValueError(f"'{self.root}' is open for reading; open it with write=True")
        self._writer.recover()
        return self._writer

    def put(
        self, videos: Sequence[tuple[Video, Sequence[Item]]], staged: Sequence[StagedRows] = ()
    ) -> None:
        """Add or replace videos with their items: all or nothing, durable on return.

        `staged` are videos whose items workers have written as uncommitted fragments.
        Raises: ValueError for items that do not fit the library or their video.
        """
        self.writer.put(videos, staged)

    def remove(self, video_ids: Sequence[str]) -> None:
        """Remove videos and their items; unknown ids are ignored."""
        self.writer.remove(video_ids)

    def update_metadata(self, *videos: Video) -> None:
        """Replace paths, aliases, times and notes of known videos; their items are not touched."""
        self.writer.update_metadata(videos)

    def videos(self) -> tuple[Video, ...]:
        """All videos, sorted by id."""
        return tuple(self.snapshot.videos.values())

    def video(self, video_id: str) -> Video:
        """One video. Raises: LibraryError if it does not exist."""
        try:
            return self.snapshot.videos[video_id]
        except KeyError:
            raise LibraryError(f"there is no file {video_id!r} in '{self.root}'") from None

    def items(self, *, where: Filter | None = None) -> Iterator[Item]:
        """Items of the videos that pass, sorted by id, with summaries and without tokens."""
        snapshot = self.snapshot
        for position in np.flatnonzero(snapshot.mask(where)).tolist():
            yield _item(snapshot.rows[position], snapshot.summaries, position)

    def item(self, item_id: str) -> Item:
        """One item as `items` yields it. Raises: LibraryError if it does not exist."""
        snapshot = self.snapshot
        position = snapshot.position_of(item_id)
        return _item(snapshot.rows[position], snapshot.take([position]), 0)

    def ids(self) -> tuple[str, ...]:
        """Ids of all items, sorted."""
        return tuple(row.id for row in self.snapshot.rows)

    def summaries(self) -> Summaries:
        """Vectors of all items, in memory."""
        return self.snapshot.summaries

    def take(self, positions: Sequence[int]) -> Summaries:
        """Vectors of the items at these positions of `ids`."""
        return self.snapshot.take(positions)

    def summaries_of(self, ids: Sequence[str]) -> Summaries:
        """Vectors of items in the given order. Raises: LibraryError for an unknown item."""
        snapshot = self.snapshot
        return snapshot.take([snapshot.position_of(item_id) for item_id in ids])

    def sample(self) -> Summaries:
        """Vectors of up to 500 items, evenly spaced, to represent the library."""
        return self.snapshot.sample

    def nearest(
        self,
        column: Column,
        vector: Float[np.ndarray, " dim"],
        *,
        k: int,
        where: Filter | None = None,
    ) -> Candidates:
        """Return the k items with the largest inner product; ties in the order of their ids.

        Exact, unless there is a vector index and no filter. Items without frames are not among the
        seen ones, items without sound not among the heard ones.
        """
        return self.snapshot.nearest(column, vector, k=k, where=where)

    def mask(self, where: Filter | None) -> Bool[np.ndarray, " item"]:
        """Return which items pass a filter, in the order of `ids`."""
        return self.snapshot.mask(where)

    def tokens(self, ids: Sequence[str]) -> Tokens:
        """Padded tokens of items in the given order, checked against their checksums.

        Raises: LibraryError for an unknown item or damaged tokens; ValueError without ids.
        """
        return self.snapshot.tokens(ids)

    def thumbnail(self, item_id: str) -> bytes:
        """Thumbnail of an item as it was put. Raises: LibraryError for an unknown item."""
        return self.snapshot.thumbnail(item_id)

    def counts(self, *, where: Filter | None = None) -> dict[str, int]:
        """Numbers of visible "videos" and "items" that pass a filter."""
        snapshot = self.snapshot
        videos = snapshot.video_of_row[snapshot.mask(where)]
        return {"videos": len(np.unique(videos)), "items": len(videos)}

    def size_bytes(self) -> int:
        """Size of all files, old versions included."""
        return sum(self.backend.file_sizes("").values())

    def verify(self, *, full: bool = False) -> list[str]:
        """Return problems, one line each; lines that begin with 'note: ' are not problems.

        Compares the checksums of 200 items, or of all with `full`.
        """
        return verify.verify(self.backend, self.journal, full=full)

    def maintain(
        self, calibration_queries: QuerySource | None = None, *, keep_uncommitted: bool = False
    ) -> list[str]:
        """Delete unused rows, compact, index, delete old versions; return what was done.

        A large library gets vector indices if there are queries to measure their recall.
        `keep_uncommitted` keeps files that no version uses, while workers write some.
        """
        committer = self.writer.committer
        return maintain(committer, calibration_queries, keep_uncommitted=keep_uncommitted)

    @property
    def snapshot(self) -> Snapshot:
        """Snapshot that all reads use. Raises: ValueError after `close`."""
        if self._writer:
            self.refresh()
        return self._opened()

    def refresh(self) -> None:
        """Read what others have written; fast if nothing changed."""
        if self.backend.latest_versions() != self._opened().latest_versions:
            self._snapshot = Snapshot(self.backend, self.shard)

    def _opened(self) -> Snapshot:
        if self._snapshot is None:
            raise ValueError(f"the library '{self.root}' was closed")
        return self._snapshot

    def close(self) -> None:
        """Close the tables and the journal, and release the writer lock."""
        self._snapshot = None
        self._resources.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open_writer(backend: Backend, lock: FileLock, resources: ExitStack) -> Writer:
    resources.callback(lock.release)
    journal = open_journal(backend.local_dir)
    resources.callback(journal.close)
    journal.set_writer_pid(os.getpid())
    lease, is_stale = lease_for(backend), False
    if lease:
        resources.callback(lease.release)
        is_stale = lease.acquire()
    return Writer(Committer(backend, journal, lease), is_stale=is_stale)


def _item(row: ItemRow, vectors: Summaries, position: int) -> Item:
    return Item(
        id=row.id,
        video_id=row.video_id,
        start_s=row.start_s,
        end_s=row.end_s,
        sound=row.sound,
        seen=vectors.seen[position],
        heard=vectors.heard[position],
        has_frames=row.has_frames,
    )
