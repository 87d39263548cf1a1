"""Uncommitted fragments: rows that workers write and the writer commits later.

Fragments that are never committed take up space until maintenance deletes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seehear.errors import counted
from seehear.store.backend.protocol import MEDIA, Backend
from seehear.store.tables import schema
from seehear.store.tables.lance import write_fragments
from seehear.types import Item, Video


@dataclass(frozen=True, kw_only=True)
class StagedRows:
    """Videos whose items were written to a library as uncommitted fragments."""

    rev: int
    videos: tuple[Video, ...]
    fragments: Mapping[str, Sequence[str]]  # by table, as JSON
    files: Mapping[str, int]  # their sizes


@dataclass(frozen=True, kw_only=True)
class Staging:
    """What a process needs to write fragments; it can be sent to another machine."""

    root: str
    model: Mapping[str, object]
    dims: tuple[int, int]  # of the vectors seen and heard
    rev: int  # of the rows

    def write_fragments(
        self, videos: Sequence[tuple[Video, Sequence[Item]]], backend: Backend
    ) -> StagedRows:
        """Write the items of videos; durable on return. Raises: ValueError if they do not fit."""
        check_videos(videos)
        items = [item for _, its in videos for item in its]
        revs = [self.rev] * len(items)
        fragments: dict[str, Sequence[str]] = {}
        files: dict[str, int] = {}
        for table, rows in (
            (schema.tokens_table(self.model), schema.token_rows(items, revs)),
            (MEDIA, schema.media_rows(items, revs)),
            (schema.summaries_table(self.model), schema.item_rows(items, revs, self.dims)),
        ):
            if items:
                fragments[table], sizes = write_fragments(backend, table, rows)
                files |= sizes
        staged = tuple(video for video, _ in videos)
        return StagedRows(rev=self.rev, videos=staged, fragments=fragments, files=files)


def check_unique(ids: Sequence[str]) -> None:
    """Raises: ValueError if an id occurs twice."""
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice:
        raise ValueError(
            f"a batch may contain every video and every item only once, got {twice[:3]} twice"
        )


def check_videos(videos: Sequence[tuple[Video, Sequence[Item]]]) -> None:
    """Raises: ValueError for duplicate videos or items, or items of another video."""
    check_unique([video.id for video, _ in videos])
    check_unique([item.id for _, its in videos for item in its])
    for video, its in videos:
        if len(its) != video.items or any(item.video_id != video.id for item in its):
            raise ValueError(
                f"video {video.id} needs its {counted(video.items, 'item')}, got {len(its)}"
            )
