"""Times at which frames are sampled from a stretch."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

MIN_FRAMES = 4


def segment_middle_times(start_s: float, end_s: float, n: int) -> Float[np.ndarray, "frame"]:
    """Middles of `n` equal segments of [start_s, end_s)."""
    if n < 1 or not end_s > start_s:
        raise ValueError(f"expected n >= 1 and end_s > start_s, got {n=}, {start_s=}, {end_s=}")
    return start_s + (np.arange(n) + 0.5) * ((end_s - start_s) / n)


def per_second_times(
    start_s: float, end_s: float, frames_per_s: float, max_frames: int
) -> Float[np.ndarray, "frame"]:
    """Evenly spaced times, about `frames_per_s` per second, at least 4 and at most `max_frames`.

    n = clamp(round((end_s - start_s) * frames_per_s), 4, max_frames), then middles of n segments.
    """
    wanted = round((end_s - start_s) * frames_per_s)
    return segment_middle_times(start_s, end_s, min(max(wanted, MIN_FRAMES), max_frames))


def nearest_indices(
    times_s: Float[np.ndarray, " frame"], wanted_s: Float[np.ndarray, " wanted"]
) -> Int[np.ndarray, " found"]:
    """Indices of the `times_s` (rising) nearest to each wanted time; rising, each index once."""
    right = np.searchsorted(times_s, wanted_s).clip(1, max(len(times_s) - 1, 1))
    left = right - 1
    right = np.minimum(right, len(times_s) - 1)
    is_left = wanted_s - times_s[left] <= times_s[right] - wanted_s
    return np.unique(np.where(is_left, left, right))
