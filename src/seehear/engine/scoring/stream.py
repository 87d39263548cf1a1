"""Streaming softmax pooling of few queries over long token sets; compiled."""

# pyright: basic, reportUnknownParameterType=false, reportMissingParameterType=false
# (numba compiles untyped functions, and takes flat arrays one by one)

from __future__ import annotations

from typing import no_type_check

import numpy as np

from seehear.engine.scoring.lanes import compiled, exp

_STEP = 8  # tokens that stay in the nearest cache while they are read twice


@compiled
@no_type_check
def pool_few(values, scale, log_count, offsets, probe, pooled):
    """Streaming softmax pooling of few queries: each token comes from memory once, no logits kept.

    A new maximum rescales what was summed.
    """
    origin, dim = offsets[0], values.shape[1]
    weights = np.empty(_STEP, np.float32)
    top, total = np.empty(len(probe), np.float32), np.empty(len(probe), np.float32)
    pooled[:] = 0
    for v in range(len(offsets) - 1):
        row, end = offsets[v] - origin, offsets[v + 1] - origin
        top[:], total[:] = -3e38, 0
        for first in range(row, end, _STEP):
            step = slice(first, min(first + _STEP, end))
            for q in range(len(probe)):
                _logits(values[step], scale[step], log_count[step], probe[q], weights)
                top[q], total[q] = _add(
                    values[step], scale[step], weights, pooled[v, q], top[q], total[q]
                )
        if end > row:
            for q in range(len(probe)):
                for d in range(dim):
                    pooled[v, q, d] /= total[q]


@compiled
@no_type_check
def _logits(values, scale, log_count, probe, weights):
    for f in range(len(values)):
        dot = np.float32(0)
        for d in range(len(probe)):
            dot += np.float32(values[f, d]) * probe[d]
        weights[f] = dot * scale[f] + log_count[f]


@compiled
@no_type_check
def _add(values, scale, weights, pooled, top, total):
    """exp(logit) times token, summed; the highest logit so far and the sum of exp."""
    count, highest = len(values), top
    for f in range(count):
        highest = max(highest, weights[f])
    if highest > top:
        shrink = np.exp(max(top - highest, np.float32(-87)))
        total *= shrink
        for d in range(len(pooled)):
            pooled[d] *= shrink
    for f in range(count):
        weights[f] = exp(weights[f] - highest)
        total += weights[f]
        weights[f] *= scale[f]
    for f in range(0, count - 3, 4):
        a, b, c, e = weights[f], weights[f + 1], weights[f + 2], weights[f + 3]
        for d in range(len(pooled)):
            pooled[d] += (
                a * np.float32(values[f, d])
                + b * np.float32(values[f + 1, d])
                + c * np.float32(values[f + 2, d])
                + e * np.float32(values[f + 3, d])
            )
    for f in range(count // 4 * 4, count):
        for d in range(len(pooled)):
            pooled[d] += weights[f] * np.float32(values[f, d])
    return highest, total
