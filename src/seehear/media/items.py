"""Decode a file into clips, in one pass and with bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from seehear.media.container import open_media
from seehear.media.playback import Playback
from seehear.media.shots import next_stretches
from seehear.types import Clip, MediaSpec


class ItemDecoder:
    """Iterable over the clips of a file; afterwards `notes` lists what could not be read.

    Note: keeps at most about 75 s of sampled frames and sound in memory.
    """

    def __init__(self, path: Path, spec: MediaSpec) -> None:
        self.path = path
        self.notes: list[str] = []
        self._spec = spec

    def __iter__(self) -> Iterator[Clip]:
        """Yield the clips in order; together they cover the file.

        Raises: MediaError if nothing can be decoded.
        """
        with open_media(self.path) as container:
            playback = Playback(self.path, container, self._spec)
            start_s = 0.0
            for now_s, is_end in _positions(playback):
                while found := next_stretches(start_s, playback.cuts_s, now_s, is_end=is_end):
                    yield from (playback.take(*stretch) for stretch in found)
                    start_s = found[-1][1]
            self.notes = playback.list_losses()


def _positions(playback: Playback) -> Iterator[tuple[float, bool]]:
    yield from ((now_s, False) for now_s in playback.advance())
    playback.finish()
    playback.check_not_empty()
    yield playback.end_s, True


def decode_items(path: Path, spec: MediaSpec) -> Iterator[Clip]:
    """Decode a file into clips: cut at shots into 8 to 32 s; a file up to 32 s is one clip.

    Raises: MediaError if nothing can be decoded.
    Note: `ItemDecoder` also lists what was lost of a damaged file.
    """
    return iter(ItemDecoder(path, spec))
