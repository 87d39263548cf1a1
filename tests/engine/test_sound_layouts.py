"""Fewer sound tokens: which ones go together, what they weigh, and how near the scores stay."""

from __future__ import annotations

import numpy as np
import pytest

from scoring import reference
from scoring.blocks import make_block, make_tokens
from seehear.engine.scoring import fold_weights, modality_scores, packed, quantise
from seehear.engine.sound_layouts import merged, time_pooled


def grid(frequencies: int, times: int) -> np.ndarray:
    """Token f * times + t holds the number 10 f + t in every place."""
    numbers = 10 * np.arange(frequencies)[:, None] + np.arange(times)
    return np.repeat(numbers.reshape(-1, 1), 3, axis=1).astype(np.float32)


def test_time_pooling_averages_the_frequencies_of_one_instant() -> None:
    tokens = packed(np.concatenate([grid(2, 3), grid(2, 2)]), np.array([6, 0, 4]))
    pooled = time_pooled(tokens, frequencies=2)
    np.testing.assert_array_equal(pooled.values[:, 0], [5, 6, 7, 5, 6])
    np.testing.assert_array_equal(pooled.offsets, [0, 3, 3, 5])
    np.testing.assert_allclose(pooled.log_count, np.log(2), rtol=1e-6)


def test_merging_joins_neighbours_in_time_and_counts_them() -> None:
    merge = merged(packed(grid(2, 4), np.array([8])), into=3, frequencies=2)
    # by time: 0 10 | 1 11 2 | 12 3 13 in near-equal pieces of 2, 3 and 3
    np.testing.assert_allclose(merge.values[:, 0], [5, 14 / 3, 28 / 3], rtol=1e-6)
    np.testing.assert_allclose(np.exp(merge.log_count), [2, 3, 3], rtol=1e-6)


def test_a_full_set_of_tefal_becomes_101_and_64() -> None:
    tokens = make_tokens(np.random.default_rng(0), [1212, 0, 1212], 8)
    assert np.diff(time_pooled(tokens).offsets).tolist() == [101, 0, 101]
    short = merged(tokens)
    assert np.diff(short.offsets).tolist() == [64, 0, 64]
    assert np.exp(short.log_count).sum() == pytest.approx(2424)


def test_merged_scores_stay_near_and_int8_can_be_merged() -> None:
    rng = np.random.default_rng(2)
    block = make_block(rng, 64, residual=True)
    slow = np.repeat(rng.standard_normal((20, 1, 20, 64)), 6, axis=2)  # slow in time
    raw = np.broadcast_to(slow, (20, 12, 120, 64)).reshape(-1, 64)
    noisy = (raw + 0.2 * rng.standard_normal(raw.shape)).astype(np.float32)
    tokens = packed(noisy, np.full(20, 1440))
    query = rng.standard_normal((10, 64))
    exact = reference.score(query, ((block, tokens),))
    for source in (tokens, quantise(tokens)):
        near = modality_scores(query, [fold_weights(block)], [merged(source, into=60)])[0]
        assert np.corrcoef(near.ravel(), exact.ravel())[0, 1] > 0.99


def test_a_broken_grid_is_refused() -> None:
    tokens = make_tokens(np.random.default_rng(3), [24, 13], 4)
    with pytest.raises(ValueError, match="an item has 13 sound tokens; expected 12 per time step"):
        merged(tokens)
