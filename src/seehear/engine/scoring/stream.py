"""Streaming softmax pooling of few queries over long token sets; compiled."""

# pyright: basic, reportUnknownParameterType=false, reportMissingParameterType=false
# (numba compiles untyped functions, and takes flat arrays one by one)

from __future__ import annotations

from typing import no_type_check

import numpy as np

from seehear.engine.scoring.few import probes, widened
from seehear.engine.scoring.lanes import compiled, exp
from seehear.engine.scoring.simd import ROWS, add_rows, dots


@no_type_check
def pool_few(values, scale, log_count, offsets, probe, pooled):
    """Streaming softmax pooling of few queries: each token comes from memory once, no logits kept.

    A new maximum rescales what was summed.
    """
    values, probe, into = widened(values, probe, pooled)
    _pool(values, scale, log_count, offsets, *probes(values, probe[None]), into)
    pooled[:] = into[..., : pooled.shape[-1]]


@compiled
@no_type_check
def _pool(values, scale, log_count, offsets, probe, step, pooled):
    origin, queries, dim = offsets[0], probe.shape[1], values.shape[1]
    weights = np.empty(ROWS, np.float32)
    top, total = np.empty(queries, np.float32), np.empty(queries, np.float32)
    pooled[:] = 0
    for v in range(len(offsets) - 1):
        row, end = offsets[v] - origin, offsets[v + 1] - origin
        top[:], total[:] = -3e38, 0
        for first in range(row, end, ROWS):  # they stay in the nearest cache
            count = min(ROWS, end - first)
            for q in range(queries):
                for f in range(0, count, 2):
                    g = min(f + 1, count - 1)  # an odd last token is its own neighbour
                    x, y = dots(values, first + f, first + g, probe[0, q])
                    size = step[0, q] * scale[first + f], step[0, q] * scale[first + g]
                    weights[f] = np.float32(x) * size[0] + log_count[first + f]
                    weights[g] = np.float32(y) * size[1] + log_count[first + g]
                top[q], total[q] = _soften(
                    weights[:count], scale[first : first + count], pooled[v, q], top[q], total[q]
                )
                if count == ROWS:
                    add_rows(values, first, weights, pooled[v, q])
                else:
                    for f in range(count):
                        for d in range(dim):
                            pooled[v, q, d] += weights[f] * np.float32(values[first + f, d])
        for q in range(queries if end > row else 0):
            for d in range(dim):
                pooled[v, q, d] /= total[q]


@compiled
@no_type_check
def _soften(weights, scale, pooled, top, total):
    """exp(logit) times scale, over the logits; the highest logit so far and the sum of exp."""
    highest = top
    for f in range(len(weights)):
        highest = max(highest, weights[f])
    if highest > top:
        shrink = np.exp(max(top - highest, np.float32(-87)))
        total *= shrink
        for d in range(len(pooled)):
            pooled[d] *= shrink
    for f in range(len(weights)):
        weights[f] = exp(weights[f] - highest)
        total += weights[f]
        weights[f] *= scale[f]
    return highest, total
