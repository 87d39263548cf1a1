"""Text-conditioned pooling of long token sequences by a streaming softmax; compiled."""

# pyright: basic, reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

from typing import no_type_check

import numpy as np

from seehear.engine.scoring.compiled import compiled, exp
from seehear.engine.scoring.dot_products import two_dots

ROWS = 8  # tokens at a time: they stay in the nearest cache between the dots and the sums


@compiled
@no_type_check
def pool(values, scale, log_count, offsets, probe, step, pooled):
    """pooled[item, query] = sum_f softmax_f(probe . z_f + log_count_f) z_f; 0 without tokens.

    `probe` times `step[query]` are the queries. Each token is read from memory once and no logits
    are kept: a new maximum rescales the sum.
    """
    dim, queries = values.shape[1], len(probe)
    weights = np.empty(ROWS, np.float32)
    top, total = np.empty(queries, np.float32), np.empty(queries, np.float32)
    pooled[:] = 0
    for v in range(len(offsets) - 1):
        top[:], total[:] = -3e38, 0
        for first in range(offsets[v], offsets[v + 1], ROWS):
            count = min(ROWS, offsets[v + 1] - first)
            for q in range(queries):
                for f in range(0, count, 2):
                    g = min(f + 1, count - 1)  # an odd last token is paired with itself
                    x, y = two_dots(values, first + f, first + g, probe[q])
                    weights[f] = np.float32(x)
                    weights[g] = np.float32(y)
                for f in range(count):
                    own = step[q] * scale[first + f]
                    weights[f] = weights[f] * own + log_count[first + f]
                top[q], total[q] = _attend(
                    weights[:count], scale[first : first + count], pooled[v, q], top[q], total[q]
                )
                _add_rows(values[first : first + count], weights, pooled[v, q])
        for q in range(queries if offsets[v + 1] > offsets[v] else 0):
            for d in range(dim):
                pooled[v, q, d] /= total[q]


@compiled
@no_type_check
def _attend(weights, scale, pooled, top, total):
    """Logits become exp(logit - maximum) * scale; returns the new maximum and the sum of exp."""
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


@compiled
@no_type_check
def _add_rows(rows, weights, pooled):
    """pooled += sum_f weights[f] rows[f]; a full set of rows loads and stores `pooled` once."""
    if len(rows) == ROWS:
        for d in range(len(pooled)):
            total = np.float32(0)
            for f in range(ROWS):
                total += weights[f] * np.float32(rows[f, d])
            pooled[d] += total
        return
    for f in range(len(rows)):
        for d in range(len(pooled)):
            pooled[d] += weights[f] * np.float32(rows[f, d])
