"""Scores of a few queries with all items of an index; compiled.

Each token is read once, in the order of memory, in the type it is stored in (float32 or int8).
"""

# pyright: basic, reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

from typing import no_type_check

import numpy as np

from seehear.engine.scoring.compiled import compiled, exp
from seehear.engine.scoring.dot_products import four_dots, multiply
from seehear.engine.scoring.gram import padded


@compiled
@no_type_check
def scan_items(tokens, queries_, grams, closing, out):
    """Write cos(t, E) to `out[item, query]`; 0 for an item without tokens.

    `tokens` is (values, scale, log_count, offsets), `queries_` is (probe, probe step,
    value, value step, constants),
    `grams` is (gram, step, starts); offsets, step, starts and out are those of the items wanted.
    """
    values, scale, log_count, offsets = tokens
    probe, probe_step, value, value_step, constants = queries_
    gram, step, starts = grams
    queries, longest = len(probe), 0
    for v in range(len(offsets) - 1):
        longest = max(longest, offsets[v + 1] - offsets[v])
    a = np.zeros((queries, padded(longest) + 16), np.float32)
    value_dots = np.empty_like(a)
    pair = np.empty(padded(longest * (longest + 1) // 2) + 16, np.float32)
    for v in range(len(offsets) - 1):
        row, count = offsets[v], offsets[v + 1] - offsets[v]
        if count == 0:
            out[v] = 0
            continue
        stop = row + count
        for q in range(queries):
            _dots(values, row, count, probe[q], value[q], a[q], value_dots[q])
            value_dot = _softmax(
                a[q],
                value_dots[q],
                probe_step[q],
                value_step[q],
                scale[row:stop],
                log_count[row:stop],
            )
            sums = _quadratic(a[q], count, gram[starts[v] : starts[v + 1]], pair)
            dot, norm2, _, _ = finalize(sums, step[v], value_dot, constants[:, q], closing)
            out[v, q] = dot / np.sqrt(max(norm2, dot * dot + np.float32(1e-20)))


@compiled
@no_type_check
def _dots(values, row, count, probe, value, a, value_dots):
    """a[token] = probe . z, value_dots[token] = value . z of one query, before any scale."""
    for f in range(0, count, 2):
        g = min(f + 1, count - 1)  # an odd last token is paired with itself
        x, y, z, w = four_dots(values, row + f, row + g, probe, value)
        a[f], value_dots[f] = np.float32(x), np.float32(y)
        a[g], value_dots[g] = np.float32(z), np.float32(w)


@compiled
@no_type_check
def _softmax(a, value_dots, probe_step, value_step, scale, log_count):
    """Attention in place of the dots, zeros up to the padded width; returns sum_f a_f value_f."""
    count, top, total, value_dot = len(scale), np.float32(-3e38), np.float32(0), np.float32(0)
    width = padded(count)  # whole vectors: loops over `count` would end in scalar steps
    for f in range(count, width):
        a[f], value_dots[f] = np.float32(-3e38), 0
    for f in range(count):
        a[f] = a[f] * (probe_step * scale[f]) + log_count[f]
        value_dots[f] *= value_step * scale[f]
    for f in range(width):
        top = max(top, a[f])
    for f in range(width):
        a[f] = exp(a[f] - top)
    for f in range(count, width):
        a[f] = 0
    for f in range(width):
        total += a[f]
        value_dot += a[f] * value_dots[f]
    inverse = np.float32(1) / total
    for f in range(width):
        a[f] *= inverse
    return value_dot * inverse


@compiled
@no_type_check
def _quadratic(a, count, gram, pair):
    """a^T G a, a^T M a, a^T N a, a . g1, a . g2, a . g3 of one item, in units of their steps."""
    used, width, short = 0, padded(count * (count + 1) // 2), padded(count)
    for apart in range(count):
        for f in range(0, count - apart, 16):  # the next diagonal overwrites what is too much
            multiply(a, f + apart, f, pair, used + f)
        used += count - apart
    for k in range(used, width):
        pair[k] = 0
    s0 = s1 = s2 = s3 = s4 = s5 = np.float32(0)
    for k in range(width):
        x = pair[k]
        s0 += np.float32(gram[k]) * x
        s1 += np.float32(gram[width + k]) * x
        s2 += np.float32(gram[2 * width + k]) * x
    at = 3 * width
    for k in range(short):
        x = a[k]
        s3 += np.float32(gram[at + k]) * x
        s4 += np.float32(gram[at + short + k]) * x
        s5 += np.float32(gram[at + 2 * short + k]) * x
    return s0, s1, s2, s3, s4, s5


@compiled
@no_type_check
def finalize(sums, step, value_dot, constants, closing):
    """dot = t . E, norm2 = |E|^2, and alpha, beta of E = alpha sum_f a_f h_f + beta e + b.

    Without residual beta = 0 (arithmetic, not a branch: a branch would cost).
    """
    d, e, b_e, b, eps, residual = closing
    none = np.float32(0)  # rounded forms of tokens that cancel may fall below it
    alpha = np.float32(1) / np.sqrt(max(sums[0] * step[0], none) + eps)
    spread = alpha * (alpha * sums[1] * step[1] + sums[3] * step[3]) + d
    inner = np.float32(1) / np.sqrt(max(spread, none) + eps)
    beta = residual * inner
    alpha *= beta + (np.float32(1) - residual)
    dot = alpha * (value_dot + constants[0]) + beta * constants[1] + constants[2]
    norm2 = alpha * (alpha * sums[2] * step[2] + beta * sums[4] * step[4] + sums[5] * step[5])
    return dot, norm2 + beta * (beta * e + b_e) + b, alpha, beta
