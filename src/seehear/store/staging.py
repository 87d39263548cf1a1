"""Rows of videos in files that nothing shows yet: whoever can write there lays them down.

The one committer shows them later, with no more than their names in hand. Files that it never hears
of cost room until maintenance clears them away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seehear.store import schema, tables
from seehear.store.place import Place
from seehear.types import Item, Video


@dataclass(frozen=True, kw_only=True)
class Staged:
    """Items of some videos that lie in a library unseen."""

    rev: int
    videos: tuple[Video, ...]
    fragments: Mapping[str, Sequence[str]]  # by table, as JSON
    files: Mapping[str, int]  # their sizes


@dataclass(frozen=True, kw_only=True)
class Staging:
    """What a process needs to know to lay rows down; it may be sent to another machine."""

    root: str
    model: Mapping[str, object]
    dims: tuple[int, int]  # of what is seen and heard
    rev: int  # of the rows

    def lay(self, videos: Sequence[tuple[Video, Sequence[Item]]], place: Place) -> Staged:
        """Write the items of videos, durable on return. Raises: ValueError if they do not fit."""
        check_videos(videos)
        items = [item for _, its in videos for item in its]
        revs = [self.rev] * len(items)
        fragments: dict[str, Sequence[str]] = {}
        files: dict[str, int] = {}
        for table, rows in (
            (schema.tok(self.model), schema.token_rows(items, revs)),
            (schema.MEDIA, schema.media_rows(items, revs)),
            (schema.emb(self.model), schema.item_rows(items, revs, self.dims)),
        ):
            if items:
                fragments[table], sizes = tables.stage(place, table, rows)
                files |= sizes
        laid = tuple(video for video, _ in videos)
        return Staged(rev=self.rev, videos=laid, fragments=fragments, files=files)


def check_once(names: Sequence[str]) -> None:
    """Raises: ValueError if a name comes twice."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"a batch may hold every video and every item only once, got {twice[:3]}")


def check_videos(videos: Sequence[tuple[Video, Sequence[Item]]]) -> None:
    """Raises: ValueError if a video or an item comes twice, or items are not their video's."""
    check_once([video.id for video, _ in videos])
    check_once([item.id for _, its in videos for item in its])
    for video, its in videos:
        if len(its) != video.items or any(item.video_id != video.id for item in its):
            raise ValueError(f"video {video.id} says {video.items} items, got {len(its)} of it")
