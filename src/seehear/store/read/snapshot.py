"""A snapshot of a library: every table at one version, and only complete videos visible."""

from __future__ import annotations

import json
import zlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seehear.errors import LibraryError
from seehear.store.backend.protocol import CATALOG, MEDIA, VIDEOS, Backend
from seehear.store.read import ann
from seehear.store.read.filters import passes
from seehear.store.read.summaries import (
    Column,
    Summaries,
    exact_nearest,
    load_summaries,
    sample_positions,
    take_summaries,
    top_k,
)
from seehear.store.tables import codec, schema
from seehear.store.tables.lance import open_table
from seehear.store.tables.schema import ItemRow
from seehear.types import Candidates, Filter, Tokens, Video

if TYPE_CHECKING:
    from seehear.store.tables.lance import Dataset

OPEN_ATTEMPTS = 20  # a writer may commit between opening two tables

ShardId = tuple[int, int]  # number of a shard, and how many there are
UNSHARDED: ShardId = (0, 1)


def shard_of(video_id: str, count: int) -> int:
    """Number of the shard, of `count`, that contains a video and all its items."""
    return zlib.crc32(video_id.encode()) % count


class Snapshot:
    """Contents of a library, or of one shard, at one time; later writes do not change it."""

    def __init__(self, backend: Backend, shard: ShardId = UNSHARDED) -> None:
        self.backend = backend
        self.shard = shard
        self.root = backend.root
        for _ in range(OPEN_ATTEMPTS):
            self.latest_versions = backend.latest_versions()
            self.catalog = self._read_catalog()
            self.model: dict[str, object] = self.catalog["model"]
            self.summaries_table = self._open(schema.summaries_table(self.model))
            self.tokens_table = self._open(schema.tokens_table(self.model))
            self.media_table = self._open(MEDIA)
            self.videos_table = self._open(VIDEOS)
            now = backend.latest_versions()
            if all(now.get(name) == self.latest_versions[name] for name in (VIDEOS, CATALOG)):
                return

    @cached_property
    def revisions(self) -> dict[str, int]:
        """Revision of every video row; rows of other tables are current if theirs is the same."""
        with self.reading(self.videos_table):
            rows = self.videos_table.to_table(columns=["id", "rev"]).to_pydict()
        number, count = self.shard
        pairs = zip(rows["id"], rows["rev"], strict=True)
        return {key: rev for key, rev in pairs if shard_of(key, count) == number}

    @cached_property
    def videos(self) -> dict[str, Video]:
        """Visible videos by id, sorted: those with all of their items."""
        names = [name for name in self.videos_table.schema.names if name != "rev"]
        with self.reading(self.videos_table):
            rows = self.videos_table.to_table(columns=names).to_pylist()
        items = Counter(row.video_id for row in self._current_rows)
        found = (schema.video_from_row(row) for row in rows if row["id"] in self.revisions)
        by_id = {video.id: video for video in found}
        return {key: by_id[key] for key in sorted(by_id) if items[key] == by_id[key].items}

    @cached_property
    def rows(self) -> list[ItemRow]:
        """Visible items, sorted by id."""
        return sorted(row for row in self._current_rows if row.video_id in self.videos)

    def position_of(self, item_id: str) -> int:
        """Return the position of an item in `rows`. Raises: LibraryError for an unknown item."""
        position = bisect_left(self.rows, item_id, key=lambda row: row.id)
        if position == len(self.rows) or self.rows[position].id != item_id:
            raise LibraryError(f"there is no item {item_id!r} in '{self.root}'")
        return position

    @cached_property
    def video_of_row(self) -> np.ndarray:
        """Position in `videos` of the video of every row."""
        numbers = {video_id: number for number, video_id in enumerate(self.videos)}
        return np.array([numbers[row.video_id] for row in self.rows], np.int64)

    @cached_property
    def summaries(self) -> Summaries:
        """Vectors of the visible items, in memory."""
        with self.reading(self.summaries_table):
            return load_summaries(self.summaries_table, self.rows)

    @cached_property
    def indices(self) -> frozenset[str]:
        """Names of the vector indices."""
        return frozenset(index.name for index in self.summaries_table.describe_indices())

    @cached_property
    def sample(self) -> Summaries:
        """Vectors of up to 500 items, evenly spaced."""
        return self.take(sample_positions(len(self.rows)).tolist())

    def take(self, positions: Sequence[int]) -> Summaries:
        """Vectors of the items at these positions; with an index the others stay on disk."""
        if not self.indices or "summaries" in vars(self):
            return self.summaries.take(positions)
        rows = [self.rows[position] for position in positions]
        with self.reading(self.summaries_table):
            return take_summaries(self.summaries_table, rows)

    def mask(self, where: Filter | None) -> np.ndarray:
        """Return which items pass a filter, in the order of `rows`."""
        if where is None or where == Filter():
            return np.ones(len(self.rows), bool)
        passing = np.array([passes(video, where) for video in self.videos.values()], bool)
        return passing[self.video_of_row]

    def nearest(
        self, column: Column, vector: np.ndarray, *, k: int, where: Filter | None
    ) -> Candidates:
        """Return the k items with the largest inner product; exact if filtered or not indexed."""
        if where in (None, Filter()) and ann.index_name(column) in self.indices:
            stale = self.summaries_table.count_rows() - len(self.rows)
            if 0 < k + stale <= ann.MAX_K:
                return self._nearest_indexed(column, vector, k, k + stale)
        return exact_nearest(self.summaries, column, vector, k=k, mask=self.mask(where))

    def _nearest_indexed(
        self, column: Column, vector: np.ndarray, k: int, k_with_stale: int
    ) -> Candidates:
        table = self.summaries_table
        with self.reading(table):
            where = self._filter_sql[column]
            vectors, keys = ann.search_index(table, column, vector, k=k_with_stale, where=where)
        visible = sorted(
            (item_id, position)
            for position, (item_id, video_id, rev) in enumerate(keys)
            if self.revisions.get(video_id) == rev and video_id in self.videos
        )
        positions = [position for _, position in visible]
        return top_k([item_id for item_id, _ in visible], vectors[positions], vector, k=k)

    def tokens(self, ids: Sequence[str]) -> Tokens:
        """Padded tokens of items in the given order, checked against their checksums.

        Raises: ValueError without ids; LibraryError for an unknown item or damaged tokens.
        """
        if not ids:
            raise ValueError("tokens of at least one item expected, got none")
        return codec.pad([self._decoded(*pair) for pair in self.encoded_tokens(ids)])

    def encoded_tokens(self, ids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Read the stored bytes of the tokens of items, all at once."""
        missing = next((item_id for item_id in ids if item_id not in self._token_row_ids), None)
        if missing is not None:
            raise LibraryError(
                f"item {missing} has no tokens in the library '{self.root}'; if it was indexed, "
                "run `seehear verify`"
            )
        row_ids = [self._token_row_ids[item_id] for item_id in ids]
        with self.reading(self.tokens_table):
            read = self.tokens_table.read_blobs("tok", ids=row_ids, preserve_order=True)
        return zip(ids, (raw or b"" for _, raw in read), strict=True)

    def thumbnail(self, item_id: str) -> bytes:
        """Thumbnail of an item as it was put. Raises: LibraryError for an unknown item."""
        where = f"id IN {schema.sql_list([item_id])}"
        with self.reading(self.media_table):
            rows = self.media_table.to_table(columns=["thumb", "video_id", "rev"], filter=where)
        for row in rows.to_pylist():
            if self.revisions.get(row["video_id"]) == row["rev"]:
                return row["thumb"]
        raise LibraryError(f"item {item_id} is not in the library '{self.root}'")

    @contextmanager
    def reading(self, table: Dataset) -> Generator[None]:
        """Convert errors that Lance raises while reading a table to a LibraryError."""
        try:
            yield
        except (OSError, ValueError, RuntimeError) as error:
            self.backend.check_available()
            raise LibraryError(
                f"table '{name_of(table)}' of the library '{self.root}' could not be read "
                f"({str(error).splitlines()[0][:200]}); refresh or reopen the library, and if "
                "that does not help, run `seehear verify`"
            ) from error

    def current_rows(self, table: Dataset) -> list[tuple[str, int, int]]:
        """Item id, position and Lance row id of rows with the current revision of their video."""
        with self.reading(table):
            columns = ["id", "video_id", "rev"]
            rows = table.to_table(columns=columns, with_row_id=True).to_pydict()
        found = zip(rows["id"], rows["video_id"], rows["rev"], rows["_rowid"], strict=True)
        return [
            (item_id, position, row_id)
            for position, (item_id, video_id, rev, row_id) in enumerate(found)
            if self.revisions.get(video_id) == rev
        ]

    @cached_property
    def media_positions(self) -> dict[str, int]:
        """Position of the thumbnail of every item in its table."""
        return {item_id: position for item_id, position, _ in self.current_rows(self.media_table)}

    @cached_property
    def _token_row_ids(self) -> dict[str, int]:
        return {item_id: row_id for item_id, _, row_id in self.current_rows(self.tokens_table)}

    @cached_property
    def _filter_sql(self) -> dict[Column, str | None]:
        return ann.filter_sql(self.summaries_table)

    @cached_property
    def _current_rows(self) -> list[ItemRow]:
        with self.reading(self.summaries_table):
            columns = self.summaries_table.to_table(columns=list(ItemRow._fields[:-1])).columns
        values = (column.to_pylist() for column in columns)
        rows = (ItemRow._make((*row, at)) for at, row in enumerate(zip(*values, strict=True)))
        return [row for row in rows if self.revisions.get(row.video_id) == row.rev]

    def _decoded(self, item_id: str, raw: bytes) -> codec.TokenArrays:
        try:
            return codec.unpack(raw, item_id)
        except ValueError as error:
            raise LibraryError(
                f"tokens of item {item_id} in the library '{self.root}' are damaged ({error}); "
                "run `seehear verify` to find further damage, then index the video again"
            ) from error

    def _open(self, name: str) -> Dataset:
        return open_table(self.backend, name)[0]

    def _read_catalog(self) -> dict[str, Any]:
        rows = self._open(CATALOG).to_table().to_pydict()
        pairs = zip(rows["key"], rows["value"], strict=True)
        values = {key: json.loads(text) for key, text in pairs}
        if values["schema"] > schema.VERSION:
            raise LibraryError(
                f"the library '{self.root}' was written by a newer seehear (layout "
                f"{values['schema']}, this one reads {schema.VERSION}); update seehear"
            )
        return values


def name_of(table: Dataset) -> str:
    """Name of an open table."""
    return Path(table.uri).name
