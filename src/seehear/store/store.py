"""A library in a folder or a bucket: one writer, many readers, every batch all or nothing."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from jaxtyping import Bool, Float, Float32

from seehear.errors import LibraryError
from seehear.store import check, door, index, schema, summaries, tables, upkeep
from seehear.store.commit import Committer
from seehear.store.journal import Journal
from seehear.store.place import Place, backend_for
from seehear.store.snapshot import WHOLE, Part, Row, Snapshot
from seehear.store.staging import Staged, Staging
from seehear.store.summaries import Column, Summaries
from seehear.store.writer import RESERVED, Writer
from seehear.types import Candidates, Filter, Item, Tokens, Video


class Store:
    """One library. A reader sees one snapshot until `refresh`; a writer sees its own writes.

    Note: a reader that does not refresh for an hour may find its files cleaned away.
    """

    def __init__(self, place: Place, lock: FileLock | None, part: Part = WHOLE) -> None:
        """Use `create` or `open`; a lock makes it a writer."""
        self.place = place
        self.root = place.root
        self.part = part
        self._lock = lock
        self.journal = door.journal(place.own) if lock else Journal(place.own, write=False)
        self._writer: Writer | None = None
        if lock:
            self.journal.set_writer_pid(os.getpid())
            is_stale = place.claim()
            self._writer = Writer(place, Committer(place, self.journal), is_stale=is_stale)
        self._snapshot: Snapshot | None = Snapshot(place, part)

    @classmethod
    def create(
        cls, root: Path | str, *, model: Mapping[str, object], seen_dim: int, heard_dim: int
    ) -> Store:
        """A new library for one engine, opened for writing.

        `root` is a folder or an address `s3://bucket/prefix`.
        Raises: LibraryError if something lies there, or the place cannot keep a library.
        """
        if not model.get("fingerprint"):
            raise ValueError("a model manifest needs a 'fingerprint'")
        place = backend_for(root)
        place.prepare()
        lock = door.locked(place.own)
        first = schema.catalog_rows({"schema": schema.VERSION, "model": dict(model)})
        for name, rows in (
            (schema.VIDEOS, schema.video_schema().empty_table()),
            (schema.MEDIA, schema.media_schema().empty_table()),
            (schema.tok(model), schema.token_schema().empty_table()),
            (schema.emb(model), schema.item_schema(seen_dim, heard_dim).empty_table()),
            (schema.CATALOG, first),
        ):
            tables.create_table(place, name, rows)
        return cls._entered(place, lock)

    @classmethod
    def open(cls, root: Path | str, *, write: bool = False, part: Part = WHOLE) -> Store:
        """An existing library; for writing, what a crash left unfinished is finished first.

        A reader may open one part of several: the videos whose hash falls into it.

        Raises: LibraryError if there is none, it cannot be read, or another process writes.
        """
        place = backend_for(root)
        place.refuse_strange()
        if write and part != WHOLE:
            raise ValueError("a part of a library can only be read")
        return cls._entered(place, door.locked(place.own) if write else None, part)

    @classmethod
    def _entered(cls, place: Place, lock: FileLock | None, part: Part = WHOLE) -> Store:
        try:
            return cls(place, lock, part)
        except BaseException:
            if lock:
                place.release()
                lock.release()
            raise

    @property
    def model(self) -> dict[str, object]:
        """Manifest of the engine that made the summaries and tokens."""
        return self._now().model

    def staging(self) -> Staging | None:
        """Where workers on other machines may lay down rows; None if only this one can."""
        return self._write().staging() if self.place.is_shared else None

    def put(
        self, videos: Sequence[tuple[Video, Sequence[Item]]], staged: Sequence[Staged] = ()
    ) -> None:
        """Add or replace videos with their items: all or nothing, durable on return.

        Of `staged` videos the items lie here already, laid down by workers.
        Raises: ValueError for items that do not fit the library or their video.
        """
        self._write().put(videos, staged)

    def remove(self, video_ids: Sequence[str]) -> None:
        """Take videos and their items out; unknown ids are passed over."""
        self._write().remove(video_ids)

    def relabel(self, *videos: Video) -> None:
        """New paths, aliases, times or notes of known videos; their items stay untouched."""
        self._write().relabel(videos)

    def videos(self) -> tuple[Video, ...]:
        """All videos, by id."""
        return tuple(self._now().videos.values())

    def video(self, video_id: str) -> Video:
        """One video. Raises: LibraryError if it is not here."""
        try:
            return self._now().videos[video_id]
        except KeyError:
            raise LibraryError(f"the library '{self.root}' holds no file {video_id!r}") from None

    def items(self, *, where: Filter | None = None) -> Iterator[Item]:
        """Items of the videos that pass, by id, with summaries and without tokens."""
        snapshot = self._now()
        for place in np.flatnonzero(summaries.mask_of(snapshot, where)).tolist():
            yield _item(snapshot.rows[place], snapshot.summaries, place)

    def item(self, item_id: str) -> Item:
        """One item as `items` gives it. Raises: LibraryError if it is not here."""
        place = self._place(item_id)
        return _item(self._now().rows[place], self._now().some([place]), 0)

    def _place(self, item_id: str) -> int:
        rows = self._now().rows
        place = bisect_left(rows, item_id, key=lambda row: row.id)
        if place == len(rows) or rows[place].id != item_id:
            raise LibraryError(f"the library '{self.root}' holds no item {item_id!r}")
        return place

    def ids(self) -> tuple[str, ...]:
        """All items, in order."""
        return tuple(row.id for row in self._now().rows)

    def summaries(self) -> Summaries:
        """Vectors of all items, in memory."""
        return self._now().summaries

    def some(self, places: Sequence[int]) -> Summaries:
        """Vectors of the items at these places of `ids`."""
        return self._now().some(places)

    def summaries_of(self, ids: Sequence[str]) -> Summaries:
        """Vectors of some items, in the order given. Raises: LibraryError if one is not here."""
        return self.some([self._place(item_id) for item_id in ids])

    def sample(self) -> Summaries:
        """Vectors of up to 500 items that stand for the library, evenly picked."""
        return self._now().sample

    def nearest(
        self,
        column: Column,
        vector: Float[np.ndarray, " dim"],
        *,
        k: int,
        where: Filter | None = None,
    ) -> Candidates:
        """The k items with the largest inner product, equal ones by id.

        Exactly, but where maintenance has built an index and nothing narrows the question.
        Items without frames are never seen, items without sound never heard.
        """
        snapshot = self._now()
        if where in (None, Filter()):
            found = index.nearest(snapshot, column, vector, k=k)
            if found:
                return found
        return summaries.nearest(snapshot.summaries, column, vector, k=k, mask=self.mask(where))

    def mask(self, where: Filter | None) -> Bool[np.ndarray, " item"]:
        """Which items pass, in the order of `ids`."""
        return summaries.mask_of(self._now(), where)

    def mean(self, column: Column) -> Float32[np.ndarray, " dim"]:
        """Mean summary of the items that have this modality."""
        return self._now().summaries.means[column]

    def tokens(self, ids: Sequence[str]) -> Tokens:
        """Padded tokens of items in the given order, checked against their checksums.

        Raises: LibraryError for an unknown item or damaged tokens; ValueError without ids.
        """
        return self._now().tokens(ids)

    def thumbnail(self, item_id: str) -> bytes:
        """Picture of an item as it was put."""
        return self._now().thumbnail(item_id)

    def get(self, key: str) -> Any:
        """A small value kept with the library, None if it was never set."""
        return None if key in RESERVED else self._now().values.get(key)

    def set(self, key: str, value: object) -> None:
        """Keep a small JSON value, e.g. a calibration; a change of model drops them all."""
        if key in RESERVED:
            raise ValueError(f"the key {key!r} is the library's own")
        self._write().write_catalog({key: value})

    def begin_model(self, model: Mapping[str, object], *, seen_dim: int, heard_dim: int) -> None:
        """Start, or go on with, a re-index; searches keep answering with the present model."""
        self._write().begin_model(model, seen_dim, heard_dim)

    def to_fill(self) -> tuple[Video, ...]:
        """Videos that the begun model has not indexed yet."""
        return self._write().to_fill()

    def fill(self, videos: Sequence[tuple[Video, Sequence[Item]]]) -> None:
        """Items of known videos made by the begun model; invisible until `activate`."""
        self._write().fill(videos)

    def activate(self) -> None:
        """Change over to the begun model and drop what the old one made.

        Raises: LibraryError while videos are left to fill.
        """
        self._write().activate()

    def verify(self, *, full: bool = False) -> list[str]:
        """Problems in words; lines that begin with 'note: ' are no problems.

        Compares the checksums of 200 items, or of all when `full`.
        """
        return check.verify(self.place, self.journal, full=full)

    def maintain(self, bank: index.Bank | None = None, *, in_flight: bool = False) -> list[str]:
        """Sweep, compact, index and clean every table; what was done, in words.

        Vectors of a large library get an index if `bank` gives queries to try it on. While rows of
        workers are `in_flight`, files that nothing shows stay.
        """
        return upkeep.maintain(self._write().committer, bank, in_flight=in_flight)

    def counts(self, *, where: Filter | None = None) -> dict[str, int]:
        """How many videos and items are visible, of those that pass."""
        snapshot = self._now()
        videos = snapshot.video_of_row[summaries.mask_of(snapshot, where)]
        return {"videos": len(np.unique(videos)), "items": len(videos)}

    def size_bytes(self) -> int:
        """Bytes of all its files, old versions included."""
        return sum(self.place.files("").values())

    def refresh(self) -> None:
        """See what others have written meanwhile; costs little when nothing changed."""
        if self.place.heads() != self._now().heads:
            self._snapshot = Snapshot(self.place, self.part)

    def close(self) -> None:
        """Let go of the tables and of the lock."""
        self._snapshot = None
        self.journal.close()
        if self._lock:
            self.place.release()
            self._lock.release()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self) -> Writer:
        if self._writer is None:
            raise ValueError(f"'{self.root}' is open for reading; open it with write=True")
        self._writer.settle()
        return self._writer

    def _now(self) -> Snapshot:
        if self._snapshot is None:
            raise ValueError(f"the library '{self.root}' was closed")
        if self._writer and self.place.heads() != self._snapshot.heads:
            self._snapshot = Snapshot(self.place, self.part)
        return self._snapshot


def _item(row: Row, vectors: Summaries, place: int) -> Item:
    return Item(
        id=row.id,
        video_id=row.video_id,
        start_s=row.start_s,
        end_s=row.end_s,
        sound=row.sound,
        seen=vectors.seen[place],
        heard=vectors.heard[place],
        has_frames=row.has_frames,
    )
