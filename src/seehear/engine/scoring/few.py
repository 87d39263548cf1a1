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
from seehear.engine.scoring.simd import STEP, ask, four_dots, three_sums


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


@no_type_check
def settle_items(values, scale, log_count, both, *branch):
    """A tile of few queries; as `lanes.settle`, but from the tokens themselves.

    With int8 tokens each query is rounded to 32,767 steps of its own.
    """
    values, both = widened(values, both)
    _settle(values, scale, log_count, *probes(values, both), *branch)


@compiled
@no_type_check
def _settle(
    values, scale, log_count, both, step, offsets, item, forms, steps, starts, longest, constants,
    model, weights, out
):  # fmt: skip
    """Sixteen items at a time: they lie in the lanes of a vector once their tokens are read."""
    queries, origin, last = both.shape[1], offsets[0], item + len(offsets) - 1
    most, blocks = longest_item(offsets), range(item // BLOCK, (last + BLOCK - 1) // BLOCK)
    a = np.empty((queries, most, BLOCK), np.float32)
    reads = np.empty_like(a)
    widest = 0
    for block in blocks:
        widest = max(widest, longest[block])
    pairs = np.empty(widest * (widest + 1) // 2 * BLOCK, np.float32)
    work, found = np.empty((7, BLOCK), np.float32), np.empty((4, BLOCK), np.float32)
    numbers = (model[0], model[1], model[2], model[3], model[4], model[5])
    for block in blocks:
        first, stop = max(block * BLOCK, item), min((block + 1) * BLOCK, last)
        form, count = forms[starts[block] :], min(longest[block], most)
        rows = offsets[first - item : stop - item + 1] - origin
        a[:, :count] = np.float32(-3e38)
        reads[:, :count] = 0
        _read(values, scale, log_count, both, step, rows, first % BLOCK, form, a, reads)
        for q in range(queries):
            soften_lanes(a[q], count, work)
            work[:] = 0
            for f in range(count):
                for t in range(BLOCK):
                    work[6, t] += a[q, f, t] * reads[q, f, t]
            if count:
                _forms_items(a[q].ravel(), count, form, longest[block], pairs, work)
                work[:6] *= steps[block]
            for t in range(BLOCK):
                found[0, t], found[1, t], found[2, t], found[3, t] = close(
                    work, t, work[6, t], constants, q, numbers
                )
            _hand_out(found, a[q], q, rows, first % BLOCK, out[:, first - item :], weights)


@compiled
@no_type_check
def _hand_out(found, a, q, rows, lane, out, weights):
    """What was found in lanes, and the attention where `weights` has room, item by item."""
    for v in range(len(rows) - 1):
        row, end = rows[v], rows[v + 1]
        for m in range(4):
            out[m, v, q] = found[m, lane + v] if end > row else 0
        if len(weights):
            for f in range(end - row):
                weights[row + f, q] = a[f, lane + v]


@compiled
@no_type_check
def _read(values, scale, log_count, both, step, rows, lane, form, a, reads):
    """Dots of the tokens of a block with all queries, each token read once, to [.., token, lane].

    The block's forms, needed next, are asked for meanwhile, a line of the cache with each token.
    """
    line = 64 // form.itemsize
    for v in range(len(rows) - 1):
        row, count, t = rows[v], rows[v + 1] - rows[v], lane + v
        for q in range(both.shape[1]):
            one, two, p, r = both[0, q], both[1, q], step[0, q], step[1, q]
            for f in range(0, count, 2):
                g = min(f + 1, count - 1)  # an odd last token is its own neighbour
                ask(form, (t * count + f) * line)
                ask(form, (t * count + g) * line)
                x, y, z, w = four_dots(values, row + f, row + g, one, two)
                a[q, f, t] = np.float32(x) * (p * scale[row + f]) + log_count[row + f]
                a[q, g, t] = np.float32(z) * (p * scale[row + g]) + log_count[row + g]
                reads[q, f, t] = np.float32(y) * (r * scale[row + f])
                reads[q, g, t] = np.float32(w) * (r * scale[row + g])


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
