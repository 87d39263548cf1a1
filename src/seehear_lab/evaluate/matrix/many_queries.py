"""Compiled loops for many queries: 64 of them go through each loop together.

A tile holds `dots[token, 2 query]`: the logits of all queries, then their value dots.
`score_tile` turns logits into attention and writes dot, norm2, alpha, beta per [item, query]:

    E = alpha sum_f a_f h_f + beta e + b,   dot = t . E,   norm2 = |E|^2

Each runs on one thread and releases the GIL.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from seehear.engine.scoring.compiled import compiled, exp
from seehear.engine.scoring.few_queries import finalize
from seehear.engine.scoring.gram import padded

LANES = 64


@compiled
@no_type_check
def softmax_inplace(dots, log_count):
    """Logits `dots[token, query]` of one item become attention."""
    queries = dots.shape[1]
    a, work = np.empty((len(log_count), LANES), np.float32), np.empty((2, LANES), np.float32)
    for begin in range(0, queries, LANES):
        lanes = min(LANES, queries - begin)
        _softmax(dots, log_count, begin, lanes, a, work)
        dots[:, begin : begin + lanes] = a[:, :lanes]


@compiled
@no_type_check
def _softmax(dots, log_count, begin, lanes, a, work):
    """Attention of LANES queries over the tokens of one item, into `a[token, lane]`."""
    count = len(log_count)
    work[0], work[1] = -3e38, 0
    for f in range(count):
        for t in range(lanes):
            a[f, t] = dots[f, begin + t] + log_count[f]
        for t in range(lanes, LANES):
            a[f, t] = 0
        for t in range(LANES):
            work[0, t] = max(work[0, t], a[f, t])
    for f in range(count):
        for t in range(LANES):
            x = exp(a[f, t] - work[0, t])
            a[f, t] = x
            work[1, t] += x
    for t in range(LANES):
        work[1, t] = np.float32(1) / work[1, t]
    for f in range(count):
        for t in range(LANES):
            a[f, t] *= work[1, t]


@compiled
@no_type_check
def _position(i, j, count):
    """Position of tokens i >= j in a triangle that is stored diagonal by diagonal."""
    apart = i - j
    return apart * count - apart * (apart - 1) // 2 + j


@compiled
@no_type_check
def _quadratic(a, count, gram, work):
    """The six sums of `few_queries._quadratic` for LANES queries; rows 6-8 are scratch."""
    width, short = padded(count * (count + 1) // 2), padded(count)
    work[:6] = 0
    for i in range(count):
        j, g, m, n = 0, gram[i], gram[width + i], gram[2 * width + i]
        for t in range(LANES):
            x = a[i, t]
            work[6, t], work[7, t], work[8, t] = g * x, m * x, n * x
        while j < i:  # two tokens a round; an odd last one is paired with itself, weight 0
            k = min(j + 1, i - 1)
            pair, at = np.float32(k - j), _position(i, j, count)
            g, m, n = gram[at], gram[width + at], gram[2 * width + at]
            at = _position(i, k, count)
            p, q, r = pair * gram[at], pair * gram[width + at], pair * gram[2 * width + at]
            for t in range(LANES):
                x, y = a[j, t], a[k, t]
                work[6, t] += g * x + p * y
                work[7, t] += m * x + q * y
                work[8, t] += n * x + r * y
            j += 2
        at = 3 * width + i
        d, e, b = gram[at], gram[at + short], gram[at + 2 * short]
        for t in range(LANES):
            x = a[i, t]
            work[0, t] += work[6, t] * x
            work[1, t] += work[7, t] * x
            work[2, t] += work[8, t] * x
            work[3, t] += d * x
            work[4, t] += e * x
            work[5, t] += b * x


@compiled
@no_type_check
def score_tile(dots, log_count, offsets, grams, constants, closing, keep, out):
    """All queries of a tile of items; `keep` writes the attention back to `dots`.

    `grams` is (gram, step, starts) of the items of the tile.
    """
    gram, step, starts = grams
    queries, longest = dots.shape[1] // 2, 0
    for v in range(len(offsets) - 1):
        longest = max(longest, offsets[v + 1] - offsets[v])
    a = np.empty((longest, LANES), np.float32)
    work, value_dot = np.empty((9, LANES), np.float32), np.empty(LANES, np.float32)
    for v in range(len(offsets) - 1):
        row, count = offsets[v] - offsets[0], offsets[v + 1] - offsets[v]
        if count == 0:
            out[:, v] = 0
            continue
        own, form = dots[row : row + count], gram[starts[v] : starts[v + 1]]
        for begin in range(0, queries, LANES):
            lanes = min(LANES, queries - begin)
            _softmax(own, log_count[row : row + count], begin, lanes, a, work)
            _quadratic(a, count, form, work)
            value_dot[:] = 0
            for f in range(count):
                for t in range(lanes):
                    value_dot[t] += a[f, t] * own[f, queries + begin + t]
                    if keep:
                        own[f, begin + t] = a[f, t]
            for t in range(lanes):
                q = begin + t
                sums = work[0, t], work[1, t], work[2, t], work[3, t], work[4, t], work[5, t]
                ends = finalize(sums, step[v], value_dot[t], constants[:, q], closing)
                out[0, v, q], out[1, v, q], out[2, v, q], out[3, v, q] = ends


@compiled
@no_type_check
def combine(seen, heard, cross, norm2):
    """|E_seen + E_heard|^2 of a tile.

    `seen` and `heard` are (out of `score_tile`, attention, offsets), `cross` is (numbers, starts,
    closing).
    """
    one, a, offsets_a = seen
    two, b, offsets_b = heard
    numbers, starts, closing = cross
    queries = norm2.shape[1]
    row, total = np.empty(LANES, np.float32), np.empty((5, LANES), np.float32)
    for v in range(len(offsets_a) - 1):
        ra, na = offsets_a[v] - offsets_a[0], offsets_a[v + 1] - offsets_a[v]
        rb, nb = offsets_b[v] - offsets_b[0], offsets_b[v + 1] - offsets_b[v]
        at = starts[v]
        for begin in range(0, queries, LANES):
            lanes = min(LANES, queries - begin)
            total[:] = 0
            both = np.float32(2 if na and nb else 0)
            if both:
                _cross(a[ra : ra + na], b[rb : rb + nb], numbers[at:], begin, lanes, row, total)
            for t in range(lanes):
                q = begin + t
                p, s, x, y = one[2, v, q], one[3, v, q], two[2, v, q], two[3, v, q]
                product = p * (x * total[0, t] + y * total[1, t] + total[2, t])
                product += x * (s * total[3, t] + total[4, t])
                product += s * (y * closing[0] + closing[1]) + y * closing[2] + closing[3]
                norm2[v, q] = one[1, v, q] + two[1, v, q] + both * product


@compiled
@no_type_check
def _cross(a, b, numbers, begin, lanes, row, total):
    """a^T X b, a . xe, a . xb, b . ye, b . yb of one item for up to LANES queries."""
    na, nb = len(a), len(b)
    seen = na * nb
    for i in range(na):
        row[:] = 0
        for j in range(nb):
            x = numbers[i * nb + j]
            for t in range(lanes):
                row[t] += x * b[j, begin + t]
        e, c = numbers[seen + i], numbers[seen + na + i]
        for t in range(lanes):
            weight = a[i, begin + t]
            total[0, t] += row[t] * weight
            total[1, t] += e * weight
            total[2, t] += c * weight
    heard = seen + 2 * na
    for j in range(nb):
        e, c = numbers[heard + j], numbers[heard + nb + j]
        for t in range(lanes):
            total[3, t] += e * b[j, begin + t]
            total[4, t] += c * b[j, begin + t]
