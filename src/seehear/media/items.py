"""A whole file as clips, in one pass and in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from seehear.media.container import open_media
from seehear.media.playback import Playback
from seehear.media.shots import next_stretches
from seehear.types import Clip, MediaSpec


class ItemDecoder:
    """Iterate over it for the clips of a file; then `notes` says what could not be read.

    Note: holds at most about 75 s of sampled pictures and sound at a time.
    """

    def __init__(self, path: Path, spec: MediaSpec) -> None:
        self.path = path
        self.notes: list[str] = []
        self._spec = spec

    def __iter__(self) -> Iterator[Clip]:
        """The clips, in order; together they cover the file.

        Raises: MediaError if nothing at all could be read.
        """
        with open_media(self.path) as container:
            playback = Playback(self.path, container, self._spec)
            start_s = 0.0
            for now_s, is_end in _positions(playback):
                while found := next_stretches(start_s, playback.cuts_s, now_s, is_end=is_end):
                    yield from (playback.take(*stretch) for stretch in found)
                    start_s = found[-1][1]
            self.notes = playback.losses()


def _positions(playback: Playback) -> Iterator[tuple[float, bool]]:
    yield from ((now_s, False) for now_s in playback.advance())
    playback.finish()
    playback.check_not_empty()
    yield playback.end_s, True


def decode_items(path: Path, spec: MediaSpec) -> Iterator[Clip]:
    """The clips of a file: [0, end) cut at shots into 8 to 32 s, a file up to 32 s in one.

    Raises: MediaError if nothing at all could be read.
    Note: `ItemDecoder` also tells what was lost of a damaged file.
    """
    return iter(ItemDecoder(path, spec))
