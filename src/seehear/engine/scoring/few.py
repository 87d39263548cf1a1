"""Compiled loops for few queries, straight from stored tokens (float32 or int8): no matrix product.

Each token is read once, row after row, as fast as the memory can stream.
"""

# pyright: basic, reportUnknownParameterType=false, reportMissingParameterType=false
# ruff: noqa: PLR0913
# (numba compiles untyped functions, and takes flat arrays one by one)

from __future__ import annotations

from typing import no_type_check

import numpy as np

from seehear.engine.scoring.forms import BLOCK, SPARE
from seehear.engine.scoring.lanes import close, compiled, exp, longest_item, soften_lanes


@compiled
@no_type_check
def scan(
    values, scale, log_count, offsets, item, forms, starts, longest, both, constants, model,
    dots, out,
):  # fmt: skip
    """A tile of few queries, from `item` on; sixteen items lie in the lanes of a vector.

    `values`, `scale`, `log_count` begin at the tile's first token, as `dots` and `out` do.
    """
    queries, dim = both.shape[1], both.shape[2]
    for f in range(len(values)):  # one row at a time: more are more streams than are foreseen
        for q in range(queries):
            logit, read = np.float32(0), np.float32(0)
            for d in range(dim):
                x = np.float32(values[f, d])
                logit += x * both[0, q, d]
                read += x * both[1, q, d]
            dots[f, q] = logit * scale[f] + log_count[f]
            dots[f, queries + q] = read * scale[f]
    most = longest_item(offsets)
    a, read = np.zeros((most + SPARE, BLOCK), np.float32), np.empty(BLOCK, np.float32)
    widest = max(longest) if len(longest) else 0
    pairs = np.empty((widest * (widest + 1) // 2 + SPARE) * BLOCK, np.float32)
    work, sums = np.empty((6, BLOCK), np.float32), np.empty((1 + SPARE) * BLOCK, np.float32)
    numbers = (model[0], model[1], model[2], model[3], model[4], model[5])
    last = item + len(offsets) - 1
    for block in range(item // BLOCK, (last + BLOCK - 1) // BLOCK):
        first, stop = max(block * BLOCK, item), min((block + 1) * BLOCK, last)
        form, count = forms[starts[block] :], min(longest[block], most)
        for q in range(queries):
            _gather(dots, offsets, item, first, stop, q, count, a)
            soften_lanes(a, count, work)
            a[count : count + SPARE] = 0
            _weigh(dots, offsets, item, first, stop, q, a, read)
            _forms_items(a.ravel(), count, form, longest[block], pairs, sums, work)
            for v in range(first, stop):
                t, at = v % BLOCK, v - item
                out[0, at, q], out[1, at, q], out[2, at, q], out[3, at, q] = close(
                    work, t, read[t], constants, q, numbers
                )
                if offsets[at + 1] == offsets[at]:
                    out[:, at, q] = 0


@compiled
@no_type_check
def _gather(dots, offsets, item, first, stop, q, count, a):
    """Logits of one query to a[token, lane]; -3e38 where an item has no such token."""
    for f in range(count):
        a[f] = np.float32(-3e38)
    for v in range(first, stop):
        at = v - item
        row = offsets[at] - offsets[0]
        for f in range(offsets[at + 1] - offsets[at]):
            a[f, v % BLOCK] = dots[row + f, q]


@compiled
@no_type_check
def _weigh(dots, offsets, item, first, stop, q, a, read):
    """Weights over the logits in `dots`; sum_f a_f r_f of each item in `read`.

    Where an item has no token its weight is e^-87 at most, and its forms are 0.
    """
    queries, read[:] = dots.shape[1] // 2, 0
    for v in range(first, stop):
        at, t = v - item, v % BLOCK
        row = offsets[at] - offsets[0]
        for f in range(offsets[at + 1] - offsets[at]):
            read[t] += a[f, t] * dots[row + f, queries + q]
            dots[row + f, q] = a[f, t]


@compiled
@no_type_check
def _forms_items(a, count, form, longest, pairs, sums, work):
    """The six sums of one query with sixteen items: forms times products of weights.

    Loops over whole stretches of memory: short ones would cost more to enter than to run.
    """
    half, used = longest * (longest + 1) // 2 * BLOCK, 0
    for apart in range(longest):
        length = max(0, count - apart) * BLOCK
        x, y, pair = a[apart * BLOCK :], a[:length], pairs[used:]
        for t in range(length):
            pair[t] = x[t] * y[t]
        pair[length : (longest - apart) * BLOCK] = 0
        used += (longest - apart) * BLOCK
    pairs[used : used + SPARE * BLOCK] = 0
    for m in range(3):
        _dot(form[m * half :], pairs[:used], sums, work[m])
        _dot(form[3 * half + m * longest * BLOCK :], a[: count * BLOCK], sums, work[3 + m])


@compiled
@no_type_check
def _dot(form, products, sums, total):
    """Sum over rows of `form * products`, eight rows at once; what follows `products` is 0."""
    sums[:] = 0
    for k in range(0, len(products), len(sums)):
        x, p = form[k:], products[k:]
        for t in range(len(sums)):
            sums[t] += x[t] * p[t]
    for t in range(BLOCK):
        total[t] = ((sums[t] + sums[t + 16]) + (sums[t + 32] + sums[t + 48])) + (
            (sums[t + 64] + sums[t + 80]) + (sums[t + 96] + sums[t + 112])
        )


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
