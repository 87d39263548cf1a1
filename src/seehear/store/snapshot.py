"""One pinned snapshot of a library: every table at one version, only whole videos visible."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from seehear.errors import LibraryError
from seehear.store import blob, index, schema, tables
from seehear.store.place import Place
from seehear.store.summaries import Column, Summaries, load, read, sampled
from seehear.types import Sound, Tokens, Video

if TYPE_CHECKING:
    import lance

OPENINGS = 20  # a writer may commit between the openings of two tables


Part = tuple[int, int]  # number of a part, and how many there are
WHOLE: Part = (0, 1)


def part_of(video_id: str, parts: int) -> int:
    """Part of a library that a video, with all its items, falls into."""
    return zlib.crc32(video_id.encode()) % parts


class Row(NamedTuple):
    """An item without its vectors; `place` is its place in a scan of the table of summaries."""

    id: str
    video_id: str
    rev: int
    start_s: float
    end_s: float
    sound: Sound
    has_frames: bool
    place: int


class Snapshot:
    """What a library holds at one moment; later writes do not change it."""

    def __init__(self, place: Place, part: Part = WHOLE) -> None:
        self.place = place
        self.part = part
        self.root = place.root
        for _ in range(OPENINGS):
            self.heads = place.heads()
            self.values = self._catalog()
            self.model: dict[str, object] = self.values["model"]
            self.emb = self._open(schema.emb(self.model))
            self.tok = self._open(schema.tok(self.model))
            self.media = self._open(schema.MEDIA)
            self.table = self._open(schema.VIDEOS)
            now = place.heads()
            if all(now.get(name) == self.heads[name] for name in (schema.VIDEOS, schema.CATALOG)):
                return

    @cached_property
    def revisions(self) -> dict[str, int]:
        """Revision of every video row; rows of other tables count only with the same one."""
        with self.reading(schema.VIDEOS):
            rows = self.table.to_table(columns=["id", "rev"]).to_pydict()
        pairs = zip(rows["id"], rows["rev"], strict=True)
        return {key: rev for key, rev in pairs if part_of(key, self.part[1]) == self.part[0]}

    @cached_property
    def videos(self) -> dict[str, Video]:
        """Visible videos by id, in that order: those whose items are all there."""
        names = [name for name in self.table.schema.names if name != "rev"]
        with self.reading(schema.VIDEOS):
            rows = self.table.to_table(columns=names).to_pylist()
        whole = Counter(row.video_id for row in self._rows)
        made = {row["id"]: schema.video(row) for row in rows if row["id"] in self.revisions}
        return {key: made[key] for key in sorted(made) if whole[key] == made[key].items}

    @cached_property
    def rows(self) -> list[Row]:
        """Visible items, by id."""
        return sorted(row for row in self._rows if row.video_id in self.videos)

    @cached_property
    def video_of_row(self) -> np.ndarray:
        """For every visible item the number of its video in `videos`."""
        numbers = {video_id: number for number, video_id in enumerate(self.videos)}
        return np.array([numbers[row.video_id] for row in self.rows], np.int64)

    @cached_property
    def summaries(self) -> Summaries:
        """Vectors of the visible items, in memory."""
        return load(self)

    @cached_property
    def indices(self) -> frozenset[str]:
        """Names of the indices over the vectors."""
        return frozenset(index.name for index in self.emb.describe_indices())

    @cached_property
    def narrowed(self) -> dict[Column, str | None]:
        """What a search through an index must filter by."""
        with self.reading("of items"):
            return index.narrowed(self.emb)

    @cached_property
    def sample(self) -> Summaries:
        """Up to 500 items that stand for the library, evenly picked."""
        return self.some(sampled(len(self.rows)).tolist())

    def some(self, places: Sequence[int]) -> Summaries:
        """Vectors of a few items; with an index over them the others stay on disk."""
        if self.indices and "summaries" not in vars(self):
            return read(self, places)
        return self.summaries.some(places)

    def shows(self, video_id: str, rev: int) -> bool:
        """Whether rows of this revision belong to a visible video."""
        return self.revisions.get(video_id) == rev and video_id in self.videos

    def tokens(self, ids: Sequence[str]) -> Tokens:
        """Padded tokens of items, in the given order, checked.

        Raises: ValueError without ids; LibraryError for an unknown item or damaged tokens.
        """
        if not ids:
            raise ValueError("tokens of at least one item expected, got none")
        return blob.pad([self._unpacked(*pair) for pair in self.blobs(ids)])

    def blobs(self, ids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Stored bytes of the tokens of items, read in one batch."""
        missing = next((item_id for item_id in ids if item_id not in self._token_places), None)
        if missing is not None:
            raise LibraryError(
                f"item {missing} has no tokens in the library '{self.root}'; if it was indexed, "
                "run `seehear verify`"
            )
        places = [self._token_places[item_id] for item_id in ids]
        with self.reading(self.tok_name):
            read = self.tok.read_blobs("tok", ids=places, preserve_order=True)
        return zip(ids, (raw or b"" for _, raw in read), strict=True)

    def thumbnail(self, item_id: str) -> bytes:
        """Picture of an item as it was put.

        Raises: LibraryError for an unknown item.
        """
        where = f"id IN {schema.quoted([item_id])}"
        with self.reading(schema.MEDIA):
            rows = self.media.to_table(columns=["thumb", "video_id", "rev"], filter=where)
        for row in rows.to_pylist():
            if self.revisions.get(row["video_id"]) == row["rev"]:
                return row["thumb"]
        raise LibraryError(f"item {item_id} is not in the library '{self.root}'")

    @property
    def tok_name(self) -> str:
        """Name of the table of tokens."""
        return schema.tok(self.model)

    @contextmanager
    def reading(self, table: str) -> Generator[None]:
        """Turns what Lance raises while reading into one sentence."""
        try:
            yield
        except (OSError, ValueError, RuntimeError) as error:
            self.place.explain()
            raise LibraryError(
                f"table '{table}' of the library '{self.root}' could not be read "
                f"({str(error).splitlines()[0][:200]}); refresh or reopen the library, and if "
                "that does not help, run `seehear verify`"
            ) from error

    def keys(self, dataset: lance.LanceDataset) -> dict[str, int]:
        """Row ids of the rows that belong to a current revision, by item."""
        with self.reading("of items"):
            columns = ["id", "video_id", "rev"]
            rows = dataset.to_table(columns=columns, with_row_id=True).to_pydict()
        found = zip(rows["id"], rows["video_id"], rows["rev"], rows["_rowid"], strict=True)
        return {
            item_id: place
            for item_id, video_id, rev, place in found
            if self.revisions.get(video_id) == rev
        }

    @cached_property
    def _token_places(self) -> dict[str, int]:
        return self.keys(self.tok)

    @cached_property
    def media_places(self) -> dict[str, int]:
        """Places of the thumbnails of current items in a scan of their table."""
        with self.reading(schema.MEDIA):
            rows = self.media.to_table(columns=["id", "video_id", "rev"]).to_pydict()
        found = enumerate(zip(rows["id"], rows["video_id"], rows["rev"], strict=True))
        return {key: at for at, (key, video, rev) in found if self.revisions.get(video) == rev}

    @cached_property
    def _rows(self) -> list[Row]:
        with self.reading(schema.emb(self.model)):
            columns = self.emb.to_table(columns=list(Row._fields[:-1])).columns
        values = (column.to_pylist() for column in columns)
        rows = (Row._make((*row, place)) for place, row in enumerate(zip(*values, strict=True)))
        return [row for row in rows if self.revisions.get(row.video_id) == row.rev]

    def _unpacked(self, item_id: str, raw: bytes) -> blob.TokenArrays:
        try:
            return blob.unpack(raw, item_id)
        except ValueError as error:
            raise LibraryError(
                f"tokens of item {item_id} in the library '{self.root}' are damaged ({error}); "
                "run `seehear verify` to learn what else is, then index the video again"
            ) from error

    def _open(self, name: str) -> lance.LanceDataset:
        return tables.open_table(self.place, name)[0]

    def _catalog(self) -> dict[str, Any]:
        rows = self._open(schema.CATALOG).to_table().to_pydict()
        values = {
            key: json.loads(text) for key, text in zip(rows["key"], rows["value"], strict=True)
        }
        if values["schema"] > schema.VERSION:
            raise LibraryError(
                f"the library '{self.root}' was written by a newer seehear (layout "
                f"{values['schema']}, this one reads {schema.VERSION}); update seehear"
            )
        return values
