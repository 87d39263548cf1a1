"""Cuts found in thumbnails, and items made from cuts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seehear.media import cut_items
from seehear.media.shots import ShotFinder, next_stretches

cuts = st.lists(st.floats(0.1, 400), max_size=60).map(sorted)
durations = st.floats(0.05, 400)


@pytest.mark.parametrize(
    ("cuts_s", "duration_s", "items"),
    [
        ([], 5.0, [(0, 5)]),
        ([16.0], 32.0, [(0, 32)]),  # up to 32 s is one item
        ([16.0], 33.0, [(0, 16), (16, 33)]),
        ([], 40.0, [(0, 20), (20, 40)]),
        ([3.0, 6.0, 9.0, 12.0], 36.0, [(0, 9), (9, 36)]),  # short shots are joined
        ([20.0, 44.0], 50.0, [(0, 20), (20, 50)]),  # no cut within 8 s of the end
        ([50.0], 60.0, [(0, 25), (25, 50), (50, 60)]),  # a long shot is split evenly
        ([], 100.0, [(0, 32), (32, 64), (64, 82), (82, 100)]),
    ],
)
def test_items_by_hand(cuts_s: list[float], duration_s: float, items: list[object]) -> None:
    assert cut_items(cuts_s, duration_s) == items


@given(cuts, durations)
def test_items_cover_the_file_and_last_8_to_32_seconds(
    cuts_s: list[float], duration_s: float
) -> None:
    items = cut_items(cuts_s, duration_s)
    assert items[0][0] == 0.0
    assert items[-1][1] == duration_s
    assert all(end_s == start_s for (_, end_s), (start_s, _) in pairwise(items))
    lengths = [end_s - start_s for start_s, end_s in items]
    assert max(lengths) <= 32 + 1e-9
    assert min(lengths) >= 8 - 1e-9 or duration_s < 8


@given(cuts, durations, st.lists(st.floats(0.01, 20), min_size=1, max_size=50))
def test_items_found_step_by_step_equal_those_found_at_once(
    cuts_s: list[float], duration_s: float, steps_s: list[float]
) -> None:
    items: list[tuple[float, float]] = []
    moments = [now for now in np.cumsum(steps_s) if now < duration_s]
    for now_s in [*moments, duration_s]:
        known = [cut for cut in cuts_s if cut <= now_s]
        start_s = items[-1][1] if items else 0.0
        while found := next_stretches(start_s, known, now_s, is_end=bool(now_s == duration_s)):
            items += found
            start_s = items[-1][1]
        assert now_s - start_s <= 64 + 1e-9  # what must be kept in memory
    assert items == cut_items(cuts_s, duration_s)


def find_cuts(levels: list[int], step_s: float = 0.25) -> list[float]:
    finder = ShotFinder()
    thumbs = [np.full((18, 32, 3), level, np.uint8) for level in levels]
    found = [finder.feed(index * step_s, thumb) for index, thumb in enumerate(thumbs)]
    return [cut for cut in found if cut is not None]


def test_hard_cut_is_between_its_thumbnails() -> None:
    assert find_cuts([50] * 10 + [180] * 10) == [pytest.approx(9.5 * 0.25)]


def test_fade_flash_and_small_change_are_not_cuts() -> None:
    assert find_cuts(list(range(0, 250, 10))) == []
    assert find_cuts([50] * 10 + [250] + [50] * 10) == []
    assert find_cuts([50] * 10 + [55] * 10) == []


def test_slide_of_a_minute_ends_where_the_next_begins() -> None:
    finder = ShotFinder()
    slides = [(0, 10), (10, 10), (20, 10), (80, 200), (90, 200), (100, 200)]
    found = [finder.feed(at, np.full((18, 32, 3), level, np.uint8)) for at, level in slides]
    assert [cut for cut in found if cut] == [pytest.approx(80 - 0.125)]
