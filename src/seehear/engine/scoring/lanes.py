"""Compiled loops for many queries: they lie side by side in the lanes of a vector.

A tile holds `dots[token, 2 query]`: logits of all queries, then reads of all queries. `settle`
turns the logits into weights and writes dot, norm2, alpha, beta per [item, query]:

    E = alpha sum_f a_f h_f + beta e + b,   dot = t . E,   norm2 = |E|^2

Each runs on one thread, releases the GIL and waits for nobody.
"""

# pyright: basic, reportUnknownParameterType=false, reportMissingParameterType=false
# ruff: noqa: PLR0913
# (numba compiles untyped functions, and takes flat arrays one by one)

from __future__ import annotations

from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, no_type_check

import numpy as np
from numba import config, njit

from seehear.engine.scoring.forms import BLOCK

LANES = 64
settings: Any = config
HERE = Path(__file__).parent
VERSION = sha256(b"".join(each.read_bytes() for each in sorted(HERE.glob("*.py")))).hexdigest()[:16]


def compiled(function: Any) -> Any:
    """As machine code, kept on disk for this version of the package.

    numba itself would notice a change in the file of a function, but not in those that it calls.
    Where nothing can be written, the code is made anew in each process.
    """
    make = partial(njit, nogil=True, fastmath=True, error_model="numpy")
    chosen = settings.CACHE_DIR
    settings.CACHE_DIR = str(Path(chosen or HERE / "__pycache__") / VERSION)
    try:
        return make(cache=True)(function)
    except RuntimeError:  # numba finds no folder that it may write to
        return make()(function)
    finally:
        settings.CACHE_DIR = chosen


@compiled
@no_type_check
def exp(x):
    """e^x of x <= 0: 2^k times a polynomial of degree 6; e^-87 below -87."""
    y = max(x, np.float32(-87.0))
    k = np.floor(y * np.float32(1.44269504) + np.float32(0.5))
    r = y - k * np.float32(0.693147181)
    p = np.float32(1 / 720) * r + np.float32(1 / 120)
    p = p * r + np.float32(1 / 24)
    p = p * r + np.float32(1 / 6)
    p = p * r + np.float32(0.5)
    p = p * r + np.float32(1)
    p = p * r + np.float32(1)
    return p * np.int32((np.int32(k) + np.int32(127)) << np.int32(23)).view(np.float32)


@compiled
@no_type_check
def soften_lanes(a, count, work):
    """softmax down the first `count` tokens of `a[token, lane]`, in place; `work` is scratch."""
    lanes = a.shape[1]
    work[0], work[1] = -3e38, 0
    for f in range(count):
        for t in range(lanes):
            work[0, t] = max(work[0, t], a[f, t])
    for f in range(count):
        for t in range(lanes):
            x = exp(a[f, t] - work[0, t])
            a[f, t] = x
            work[1, t] += x
    for t in range(lanes):
        work[1, t] = np.float32(1) / work[1, t]
    for f in range(count):
        for t in range(lanes):
            a[f, t] *= work[1, t]


@compiled
@no_type_check
def _soften(dots, row, log_count, begin, lanes, a, work):
    """softmax down the tokens of one item for LANES queries, into `a[token, lane]`."""
    count = len(log_count)
    for f in range(count):
        for t in range(lanes):
            a[f, t] = dots[row + f, begin + t] + log_count[f]
        for t in range(lanes, LANES):
            a[f, t] = 0
    soften_lanes(a, count, work)


@compiled
@no_type_check
def soften_tile(dots, log_count):
    """Logits [token, query] of one item become weights, in place."""
    queries = dots.shape[1]
    a, work = np.empty((len(log_count), LANES), np.float32), np.empty((2, LANES), np.float32)
    for begin in range(0, queries, LANES):
        lanes = min(LANES, queries - begin)
        _soften(dots, 0, log_count, begin, lanes, a, work)
        _keep(a, len(log_count), dots, 0, begin, lanes)


@compiled
@no_type_check
def _keep(a, count, dots, row, begin, lanes):
    for f in range(count):
        for t in range(lanes):
            dots[row + f, begin + t] = a[f, t]


@compiled
@no_type_check
def _place(i, j, longest):
    """Where the pair of tokens i >= j lies in a triangle that is kept diagonal by diagonal."""
    apart = i - j
    return apart * longest - apart * (apart - 1) // 2 + j


@compiled
@no_type_check
def _forms(a, count, form, longest, work):
    """a^T G a, a^T M a, a^T N a, a . m1, a . n1, a . n2 for LANES queries; rows 6-8 are scratch."""
    half = longest * (longest + 1) // 2
    work[:6] = 0
    for i in range(count):
        j, g, m, n = 0, form[i], form[half + i], form[2 * half + i]
        for t in range(LANES):
            x = a[i, t]
            work[6, t], work[7, t], work[8, t] = g * x, m * x, n * x
        while j < i:  # two tokens a round; the last one alone is its own pair, weighed 0
            k = min(j + 1, i - 1)
            pair, at = np.float32(k - j), _place(i, j, longest)
            g, m, n = form[at], form[half + at], form[2 * half + at]
            at = _place(i, k, longest)
            p, q, r = pair * form[at], pair * form[half + at], pair * form[2 * half + at]
            for t in range(LANES):
                x, y = a[j, t], a[k, t]
                work[6, t] += g * x + p * y
                work[7, t] += m * x + q * y
                work[8, t] += n * x + r * y
            j += 2
        at = 3 * half + i
        d, e, b = form[at], form[at + longest], form[at + 2 * longest]
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
def close(sums, t, read, constants, q, model):
    """dot, norm2, alpha, beta from forms; without residual beta = 0 (no branch: it would cost)."""
    d, e, b_e, b, eps, residual = model
    none = np.float32(0)  # rounded forms of tokens that cancel may fall below it
    alpha = np.float32(1) / np.sqrt(max(sums[0, t], none) + eps)
    spread = alpha * (alpha * sums[1, t] + sums[3, t]) + d
    inner = np.float32(1) / np.sqrt(max(spread, none) + eps)
    beta = residual * inner
    alpha *= beta + (np.float32(1) - residual)
    dot = alpha * (read + constants[0, q]) + beta * constants[1, q] + constants[2, q]
    norm2 = alpha * (alpha * sums[2, t] + beta * sums[4, t] + sums[5, t])
    return dot, norm2 + beta * (beta * e + b_e) + b, alpha, beta


@compiled
@no_type_check
def settle(
    dots, log_count, offsets, item, forms, steps, starts, longest, constants, model, keep, out
):
    """A tile of many queries, from `item` on: they lie side by side in the lanes of a vector."""
    queries, origin = dots.shape[1] // 2, offsets[0]
    a = np.empty((longest_item(offsets), LANES), np.float32)
    work, read = np.empty((9, LANES), np.float32), np.empty(LANES, np.float32)
    numbers = (model[0], model[1], model[2], model[3], model[4], model[5])
    for v in range(len(offsets) - 1):
        row, count = offsets[v] - origin, offsets[v + 1] - offsets[v]
        if count == 0:
            out[:, v] = 0
            continue
        block, place = (item + v) // BLOCK, (item + v) % BLOCK
        form = forms[starts[block] + place : starts[block + 1] : BLOCK]
        own = log_count[row : row + count]
        for begin in range(0, queries, LANES):
            lanes = min(LANES, queries - begin)
            _soften(dots, row, own, begin, lanes, a, work)
            _forms(a, count, form, longest[block], work)
            for m in range(6):
                work[m] *= steps[block, m, place]
            read[:] = 0
            for f in range(count):
                for t in range(lanes):
                    read[t] += a[f, t] * dots[row + f, queries + begin + t]
            if keep:
                _keep(a, count, dots, row, begin, lanes)
            for t in range(lanes):
                q = begin + t
                out[0, v, q], out[1, v, q], out[2, v, q], out[3, v, q] = close(
                    work, t, read[t], constants, q, numbers
                )


@compiled
@no_type_check
def longest_item(offsets):
    longest = 0
    for v in range(len(offsets) - 1):
        longest = max(longest, offsets[v + 1] - offsets[v])
    return longest


@compiled
@no_type_check
def fuse(one, a, two, b, offsets_a, offsets_b, numbers, starts, model, norm2):
    """|E_seen + E_heard|^2 of a tile: both settled, `a` and `b` their dots with weights."""
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
                _cross(a, ra, na, b, rb, nb, numbers, at, begin, lanes, row, total)
            for t in range(lanes):
                q = begin + t
                p, s, x, y = one[2, v, q], one[3, v, q], two[2, v, q], two[3, v, q]
                product = p * (x * total[0, t] + y * total[1, t] + total[2, t])
                product += x * (s * total[3, t] + total[4, t])
                product += s * (y * model[0] + model[1]) + y * model[2] + model[3]
                norm2[v, q] = one[1, v, q] + two[1, v, q] + both * product


@compiled
@no_type_check
def _cross(a, ra, na, b, rb, nb, numbers, at, begin, lanes, row, total):
    """a^T X b, a . xe, a . xb, b . ye, b . yb for up to LANES queries."""
    seen = at + na * nb
    for i in range(na):
        row[:] = 0
        for j in range(nb):
            x = numbers[at + i * nb + j]
            for t in range(lanes):
                row[t] += x * b[rb + j, begin + t]
        e, c = numbers[seen + i], numbers[seen + na + i]
        for t in range(lanes):
            weight = a[ra + i, begin + t]
            total[0, t] += row[t] * weight
            total[1, t] += e * weight
            total[2, t] += c * weight
    heard = seen + 2 * na
    for j in range(nb):
        e, c = numbers[heard + j], numbers[heard + nb + j]
        for t in range(lanes):
            total[3, t] += e * b[rb + j, begin + t]
            total[4, t] += c * b[rb + j, begin + t]
