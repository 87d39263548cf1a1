"""Gram matrices of an item's tokens: with them a pair's score needs no vector of the pair.

    G = w w^T / D    M = m m^T / D    N = h h^T    g1 = 2 m . d / D    g2 = 2 h . e    g3 = 2 h . b

with m_f = B w_f (`folded_weights` has the symbols). Without residual M, g1 and g2 are zero. Kept
are lower triangles, diagonal by diagonal, the main one first, the others doubled; each of the six
parts is padded with zeros to a multiple of sixteen numbers. With int8 tokens they are int16, each
part with its own step.

Note: where weighted tokens cancel almost completely this is less exact than pooling (by 1e-2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, no_type_check

import numpy as np
from jaxtyping import Float32, Int64, Num

from seehear.engine.scoring.compiled import compiled
from seehear.engine.scoring.folded_weights import FoldedBlock
from seehear.engine.scoring.tokens import PackedTokens, running
from seehear.engine.threads import run_tiles

ROWS = 768  # tokens whose Gram matrices are made at once


@dataclass(frozen=True, kw_only=True, eq=False)
class ModalityIndex:
    """The tokens of one modality with their Gram matrices, ready to be scanned."""

    block: FoldedBlock
    tokens: PackedTokens
    gram: Num[np.ndarray, " number"]  # float32, or int16 with int8 tokens
    step: Float32[np.ndarray, "item six"]  # the numbers of a part are multiples of it
    starts: Int64[np.ndarray, " item_and_one"]  # gram[starts[v]:starts[v + 1]] is item v

    @property
    def closing(self) -> Float32[np.ndarray, " six"]:
        """|d|^2 / D, |e|^2, 2 e . b, |b|^2, eps, has residual."""
        block, residual = self.block, self.block.residual
        d = 0.0 if residual is None else float(np.square(residual.d).mean())
        e, b = block.e, block.b
        numbers = [d, e @ e, 2 * e @ b, b @ b, block.weights.eps, float(residual is not None)]
        return np.array(numbers, np.float32)


@compiled
@no_type_check
def padded(count: Any) -> Any:
    """`count`, or a vector of counts, rounded up to a multiple of sixteen."""
    return (count + 15) // 16 * 16


def build_index(
    block: FoldedBlock, tokens: PackedTokens, *, threads: int | None = None
) -> ModalityIndex:
    """Gram matrices of tokens as they are kept (after quantisation).

    Raises: ValueError if the tokens have another width than the block.
    """
    if tokens.dim != len(block.b):
        raise ValueError(f"tokens are {tokens.dim} wide, the block {len(block.b)}; use its tokens")
    lengths = np.diff(tokens.offsets)
    starts = running(3 * (padded(lengths * (lengths + 1) // 2) + padded(lengths)))
    is_int = tokens.values.dtype == np.int8
    gram = np.zeros(starts[-1], np.int16 if is_int else np.float32)
    step = np.ones((len(lengths), 6), np.float32)

    def work(items: Int64[np.ndarray, " chosen"]) -> None:
        parts = _gram_terms(block, tokens.take(items).rows(0, len(items)), len(items))
        at = starts[items]
        for number, part in enumerate(parts):
            if is_int:
                step[items, number] = np.maximum(np.abs(part).max(1) / 32767, 1e-30)
                part = np.rint(part / step[items, number, None])
            gram[at[:, None] + np.arange(part.shape[1])] = part
            at = at + padded(part.shape[1])

    run_tiles(work, _by_length(lengths), threads=threads)
    return ModalityIndex(block=block, tokens=tokens, gram=gram, step=step, starts=starts)


def _by_length(lengths: Int64[np.ndarray, " item"]) -> Iterator[np.ndarray]:
    """Items of equal length, a few at a time."""
    for length in np.unique(lengths[lengths > 0]).tolist():
        items = np.flatnonzero(lengths == length)
        count = max(1, ROWS // length)
        yield from (items[first : first + count] for first in range(0, len(items), count))


def _gram_terms(
    block: FoldedBlock, z: Float32[np.ndarray, "token dim"], items: int
) -> list[np.ndarray]:
    """G, M, N and g1, g2, g3, each [item, number], of items of equal length."""
    width, count = z.shape[1], len(z) // items
    row, column = np.tril_indices(count)
    order = np.lexsort((column, row - column))
    row, column = row[order], column[order]
    twice = np.where(row == column, 1, 2).astype(np.float32)

    def gram(x: np.ndarray) -> np.ndarray:
        x = x.reshape(items, count, width)
        return (x @ x.swapaxes(1, 2))[:, row, column] * twice

    w, h = z @ block.A.T + block.a0, z @ block.H.T + block.h0
    m_gram, with_d = np.zeros((items, len(twice)), np.float32), np.zeros(len(z), np.float32)
    if block.residual is not None:
        m = w @ block.residual.B.T
        m_gram, with_d = gram(m) / width, m @ (2 / width * block.residual.d)
    vectors = with_d, h @ (2 * block.e), h @ (2 * block.b)
    return [gram(w) / width, m_gram, gram(h), *(x.reshape(items, count) for x in vectors)]
