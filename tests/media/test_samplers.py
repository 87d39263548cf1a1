"""Sampling times and nearest indices, by hand and against loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seehear.media import per_second_times, segment_middle_times
from seehear.media.samplers import nearest_indices

starts = st.floats(0, 1e4)
lengths = st.floats(0.01, 1e4)


def test_segment_middles_by_hand() -> None:
    np.testing.assert_allclose(segment_middle_times(2.0, 6.0, 4), [2.5, 3.5, 4.5, 5.5])
    np.testing.assert_allclose(segment_middle_times(0.0, 3.0, 1), [1.5])


@given(starts, lengths, st.integers(1, 100))
def test_segment_middles_are_inside_and_even(start_s: float, length_s: float, n: int) -> None:
    times_s = segment_middle_times(start_s, start_s + length_s, n)
    assert len(times_s) == n
    assert times_s[0] > start_s
    assert times_s[-1] < start_s + length_s
    np.testing.assert_allclose(np.diff(times_s), length_s / n, rtol=1e-3, atol=1e-8)


@given(starts, lengths, st.floats(0.1, 10), st.integers(1, 64))
def test_per_second_count(start_s: float, length_s: float, rate: float, most: int) -> None:
    n = len(per_second_times(start_s, start_s + length_s, rate, most))
    length_s = (start_s + length_s) - start_s
    assert n == min(max(round(length_s * rate), 4), most)


@pytest.mark.parametrize(("start_s", "end_s", "n"), [(0, 0, 1), (2, 1, 1), (0, 1, 0)])
def test_impossible_arguments_are_refused(start_s: float, end_s: float, n: int) -> None:
    with pytest.raises(ValueError, match="expected n >= 1"):
        segment_middle_times(start_s, end_s, n)


def test_nearest_by_hand_with_a_tie() -> None:
    times_s, wanted_s = np.array([0.0, 1.0, 4.0]), np.array([0.4, 2.5, 2.6, 9.0])
    np.testing.assert_array_equal(nearest_indices(times_s, wanted_s), [0, 1, 2])
    np.testing.assert_array_equal(nearest_indices(times_s[:1], wanted_s), [0])


@given(
    st.lists(st.integers(0, 999), min_size=1, max_size=30, unique=True),
    st.lists(st.integers(0, 999), min_size=1, max_size=30),
)
def test_nearest_equals_a_loop(times: list[int], wanted: list[int]) -> None:
    times_s = np.array(sorted(times)) / 8
    wanted_s = np.array(wanted) / 8
    naive = {int(np.argmin(np.abs(times_s - moment))) for moment in wanted_s}
    np.testing.assert_array_equal(nearest_indices(times_s, wanted_s), sorted(naive))
