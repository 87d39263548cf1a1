"""Compiled loops for few queries, straight from stored tokens (float32 or int8): no matrix product.

Each token is read once, row after row, as fast as the memory can stream.
"""

# pyright: basic, reportUnknownParameterType=false, reportMissingParameterType=false
# ruff: noqa: PLR0913
# (numba compiles untyped functions, and takes flat arrays one by one)

from __future__ import annotations

from typing import no_type_check

import numpy as np

from seehear.engine.scoring.forms import BLOCK
from seehear.engine.scoring.lanes import close, compiled, longest_item, soften_lanes
from seehear.engine.scoring.simd import STEP, three_sums, two_dots


@no_type_check
def read(values, scale, log_count, both, dots):
    """dots[token, 2 query]: logits of all queries, then reads of all queries.

    With int8 tokens each query is rounded to 32,767 steps of its own.
    """
    values, both = widened(values, both)
    _read(values, scale, log_count, *probes(values, both), dots)


@no_type_check
def widened(*arrays):
    """The same with zeros to a width of whole STEPs."""
    extra = -arrays[0].shape[-1] % STEP
    if not extra:
        return arrays
    return [np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, extra)]) for x in arrays]


@no_type_check
def probes(values, both):
    """Queries as their tokens need them, and the size of their steps."""
    if values.dtype == np.int8:
        return _whole(both)
    return both, np.ones(both.shape[:2], np.float32)


@compiled
@no_type_check
def _read(values, scale, log_count, both, step, dots):
    queries = both.shape[1]
    for f in range(len(values)):  # one row at a time: more are more streams than are foreseen
        for q in range(queries):
            logit, read = two_dots(values, f, both[0, q], both[1, q])
            dots[f, q] = np.float32(logit) * (step[0, q] * scale[f]) + log_count[f]
            dots[f, queries + q] = np.float32(read) * (step[1, q] * scale[f])


@compiled
@no_type_check
def _whole(both):
    """Queries in int16 and their steps, so coarse that no sum of products passes 2^31."""
    kinds, queries, dim = both.shape
    whole, step = np.empty(both.shape, np.int16), np.empty((kinds, queries), np.float32)
    for m in range(kinds):
        for q in range(queries):
            largest, total = np.float32(1e-30), np.float32(0)
            for d in range(dim):
                largest = max(largest, abs(both[m, q, d]))
                total += abs(both[m, q, d])
            step[m, q] = max(largest / np.float32(32767), total * np.float32(127 / 2147000000))
            for d in range(dim):
                whole[m, q, d] = np.int16(np.rint(both[m, q, d] / step[m, q]))
    return whole, step


@compiled
@no_type_check
def settle_items(dots, offsets, item, forms, steps, starts, longest, constants, model, keep, out):
    """A tile of few queries, from `item` on; sixteen items lie in the lanes of a vector.

    `dots` begins at the tile's first token; its logits become weights, to `keep`.
    """
    queries = dots.shape[1] // 2
    most = longest_item(offsets)
    a, reads = np.empty((most, BLOCK), np.float32), np.empty((most, BLOCK), np.float32)
    last, widest = item + len(offsets) - 1, 0
    blocks = range(item // BLOCK, (last + BLOCK - 1) // BLOCK)
    for block in blocks:
        widest = max(widest, longest[block])
    pairs = np.empty(widest * (widest + 1) // 2 * BLOCK, np.float32)
    work = np.empty((7, BLOCK), np.float32)
    numbers = (model[0], model[1], model[2], model[3], model[4], model[5])
    for block in blocks:
        first, stop = max(block * BLOCK, item), min((block + 1) * BLOCK, last)
        form, count = forms[starts[block] :], min(longest[block], most)
        for q in range(queries):
            _gather(dots, offsets, item, first, stop, q, count, a, np.float32(-3e38))
            _gather(dots, offsets, item, first, stop, queries + q, count, reads, np.float32(0))
            soften_lanes(a, count, work)
            work[:] = 0
            for f in range(count):
                for t in range(BLOCK):
                    work[6, t] += a[f, t] * reads[f, t]
            if count:
                _forms_items(a.ravel(), count, form, longest[block], pairs, work)
                work[:6] *= steps[block]
            if keep:
                _keep(dots, offsets, item, first, stop, q, a)
            for v in range(first, stop):
                t, at = v % BLOCK, v - item
                out[0, at, q], out[1, at, q], out[2, at, q], out[3, at, q] = close(
                    work, t, work[6, t], constants, q, numbers
                )
                if offsets[at + 1] == offsets[at]:
                    out[:, at, q] = 0


@compiled
@no_type_check
def _gather(dots, offsets, item, first, stop, column, count, into, missing):
    """One column of `dots` to into[token, lane]; `missing` where an item has no such token."""
    into[:count] = missing
    for v in range(first, stop):
        at = v - item
        row = offsets[at] - offsets[0]
        for f in range(offsets[at + 1] - offsets[at]):
            into[f, v % BLOCK] = dots[row + f, column]


@compiled
@no_type_check
def _keep(dots, offsets, item, first, stop, q, a):
    """Weights over the logits in `dots`."""
    for v in range(first, stop):
        at = v - item
        row = offsets[at] - offsets[0]
        for f in range(offsets[at + 1] - offsets[at]):
            dots[row + f, q] = a[f, v % BLOCK]


@compiled
@no_type_check
def _forms_items(a, count, form, longest, pairs, work):
    """The six sums of one query with sixteen items: forms times products of weights."""
    half, used = longest * (longest + 1) // 2 * BLOCK, 0
    for apart in range(longest):
        length = max(0, count - apart) * BLOCK
        x, y, pair = a[apart * BLOCK :], a[:length], pairs[used:]
        for t in range(length):
            pair[t] = x[t] * y[t]
        pair[length : (longest - apart) * BLOCK] = 0
        used += (longest - apart) * BLOCK
    three_sums(form, 0, half, pairs, used, work[0])
    three_sums(form, 3 * half, longest * BLOCK, a, count * BLOCK, work[3])
