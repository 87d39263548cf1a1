"""Find hard cuts in small thumbnails, and divide a long file into items at them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from math import ceil

import numpy as np
from jaxtyping import UInt8

SHORTEST_S = 8.0
LONGEST_S = 32.0
MAX_OPEN_S = 56.0  # a longer stretch is split without waiting for a cut; > 32 + 8
MIN_CHANGE = 12.0  # mean absolute difference of thumbnails, 0..255
MIN_CONTRAST = 2.0  # times the largest change just before and just after
NEIGHBOURS = 2  # thumbnails before and after a cut that it is compared with

Stretch = tuple[float, float]


class ShotFinder:
    """Detector of hard cuts in a stream of thumbnails: a change much larger than its neighbours.

    A flash or a shaking camera changes several thumbnails in a row and is not a cut.
    """

    def __init__(self) -> None:
        self._last: tuple[float, UInt8[np.ndarray, "height width 3"]] | None = None
        self._changes: deque[tuple[float, float]] = deque(maxlen=2 * NEIGHBOURS + 1)

    def feed(self, time_s: float, thumb: UInt8[np.ndarray, "height width 3"]) -> float | None:
        """Add a thumbnail; returns the time of a cut that is now certain (two thumbnails back)."""
        if self._last is not None:
            before_s, before = self._last
            change = float(np.abs(thumb.astype(np.int16) - before).mean())
            middle_s = time_s - min(0.125, (time_s - before_s) / 2)
            self._changes.append((middle_s, change))
        self._last = (time_s, thumb)
        return self._detect()

    def _detect(self) -> float | None:
        if len(self._changes) <= 2 * NEIGHBOURS:
            return None
        sizes = [change for _, change in self._changes]
        here = sizes.pop(NEIGHBOURS)
        is_cut = here >= MIN_CHANGE and here >= MIN_CONTRAST * max(sizes)
        return self._changes[NEIGHBOURS][0] if is_cut else None


def next_stretches(
    start_s: float, cuts_s: Sequence[float], now_s: float, *, is_end: bool
) -> list[Stretch]:
    """Items that are final once the file is known up to `now_s`; empty if none is.

    A file up to 32 s is one item. Otherwise shots are joined until they last 8 s, those longer than
    32 s are split evenly, and a cut less than 8 s before the end is ignored. From a shot longer
    than 56 s, items of 32 s are split off, so that at most 64 s are undecided.
    """
    known_s = now_s - start_s
    if start_s == 0.0 and known_s <= LONGEST_S:
        return [(start_s, now_s)] if is_end and known_s > 0 else []
    cut_s = next((cut for cut in cuts_s if cut >= start_s + SHORTEST_S), now_s)
    if cut_s <= min(start_s + MAX_OPEN_S, now_s - SHORTEST_S):
        return split_evenly(start_s, cut_s)
    if min(cut_s, now_s) > start_s + MAX_OPEN_S:
        return [(start_s, start_s + LONGEST_S)]
    return split_evenly(start_s, now_s) if is_end and known_s > 0 else []


def split_evenly(start_s: float, end_s: float) -> list[Stretch]:
    """Split into the fewest equal stretches of at most 32 s; they meet exactly."""
    n = max(1, ceil((end_s - start_s) / LONGEST_S))
    edges = [start_s + k * (end_s - start_s) / n for k in range(n)] + [end_s]
    return list(pairwise(edges))


def cut_items(cuts_s: Sequence[float], duration_s: float) -> list[Stretch]:
    """Divide a file of known cuts and duration into contiguous items."""
    items: list[Stretch] = []
    while found := next_stretches(items[-1][1] if items else 0.0, cuts_s, duration_s, is_end=True):
        items += found
    return items
