"""The work of one tile of items and queries, on one thread: what is found, before it is divided."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from seehear.engine.scoring import reference
from seehear.engine.scoring.fold import Folded
from seehear.engine.scoring.forms import Branch, Cross, output

try:
    from seehear.engine.scoring import few as _few
    from seehear.engine.scoring import lanes as _lanes
    from seehear.engine.scoring import stream as _stream
except ImportError:  # no numba for this Python: the oracle answers, exactly and slowly
    _few = _lanes = _stream = None
few: Any = _few
lanes: Any = _lanes
stream: Any = _stream

FEW = 4  # so many queries cost one reading of the tokens; more are a matrix product
_own = threading.local()
Found = tuple[np.ndarray, np.ndarray, np.ndarray]  # t . E_seen, t . E_heard, 1 / |E|: [item, query]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """What a tile needs: branches; queries as they came, at unit length, and folded."""

    query: Float[np.ndarray, "query dim"]
    seen: Branch
    heard: Branch | None
    cross: Cross | None
    folds: list[Folded]
    unit: Float32[np.ndarray, "query dim"]

    @property
    def streams(self) -> bool:
        """The last branch has too many tokens for forms."""
        return (self.heard or self.seen).forms is None


@dataclass(frozen=True)
class Tile:
    items: slice
    queries: Any  # slice, or numbers of queries


def find(pair: Pair, tile: Tile) -> Found:
    """Dots with what each modality draws, and the inverse length of their sum."""
    return _find_compiled(pair, tile) if lanes else _find_slowly(pair, tile)


def _find_compiled(pair: Pair, tile: Tile) -> Found:
    folds, unit = [_cut(fold, tile.queries) for fold in pair.folds], pair.unit[tile.queries]
    if pair.seen.forms is None:
        seen = _vectors(pair.seen, folds[0], tile.items)
        dot, norm2 = _along(unit, seen)
        if pair.heard is None:
            return dot, np.zeros_like(dot), _inverse(norm2, dot)
        heard = _vectors(pair.heard, folds[1], tile.items)
        other = _along(unit, heard)[0]
        return dot, other, _inverse(_along(unit, seen + heard)[1], dot + other)
    dots, out = _settled(
        pair.seen, folds[0], tile.items, modality="seen", keep=pair.heard is not None
    )
    if pair.heard is None:
        return out[0], np.zeros_like(out[0]), _inverse(out[1], out[0])
    if pair.cross is None:
        vectors = _vectors(pair.heard, folds[1], tile.items)
        product = _product(pair.seen, tile.items, dots, out, vectors)
        dot, norm2 = _along(unit, vectors)
        return out[0], dot, _inverse(out[1] + norm2 + 2 * product, out[0] + dot)
    other_dots, other = _settled(pair.heard, folds[1], tile.items, modality="heard", keep=True)
    cut, norm2 = slice(tile.items.start, tile.items.stop + 1), np.empty(out.shape[1:], np.float32)
    lanes.fuse(
        out, dots, other, other_dots, pair.seen.tokens.offsets[cut],
        pair.heard.tokens.offsets[cut], pair.cross.numbers, pair.cross.starts[tile.items],
        pair.cross.model, norm2,
    )  # fmt: skip
    return out[0], other[0], _inverse(norm2, out[0] + other[0])


def _find_slowly(pair: Pair, tile: Tile) -> Found:
    query, unit = pair.query[tile.queries], pair.unit[tile.queries]
    seen, heard = (
        reference.drawn(query, branch.block.weights, branch.tokens, tile.items) if branch else None
        for branch in (pair.seen, pair.heard)
    )
    assert seen is not None
    heard = np.zeros_like(seen) if heard is None else heard
    dot, _ = _along(unit, seen)
    other, _ = _along(unit, heard)
    return dot, other, _inverse(_along(unit, seen + heard)[1], dot + other)


def _inverse(norm2: np.ndarray, dot: np.ndarray) -> np.ndarray:
    """1 / |E|; a vector is never shorter than its dot with one of length 1."""
    return 1 / np.sqrt(np.maximum(norm2, dot * dot + np.float32(1e-20)))


def _along(unit: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.einsum("qd,iqd->iq", unit, vectors), np.einsum("iqd,iqd->iq", vectors, vectors)


def _cut(fold: Folded, queries: Any) -> Folded:
    return Folded(
        both=np.ascontiguousarray(fold.both[:, queries]),
        constants=np.ascontiguousarray(fold.constants[:, queries]),
    )


def _scratch(modality: str, tokens: int, columns: int) -> np.ndarray:
    """Memory that this thread keeps for its tiles: fresh pages would cost a tenth of the time."""
    size = tokens * columns
    kept = getattr(_own, modality, None)
    if kept is None or len(kept) < size:
        kept = np.empty(size, np.float32)
        setattr(_own, modality, kept)
    return kept[:size].reshape(tokens, columns)


def _settled(
    branch: Branch, fold: Folded, items: slice, *, modality: str, keep: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (to `keep`) and reads [token, 2 query]; dot, norm2, alpha, beta [4, item, query]."""
    tokens, queries = branch.tokens, fold.both.shape[1]
    offsets = tokens.offsets[items.start : items.stop + 1]
    rows = slice(int(offsets[0]), int(offsets[-1]))
    dots = _scratch(modality, rows.stop - rows.start, 2 * queries)
    out = np.empty((4, len(offsets) - 1, queries), np.float32)
    log_count, item = tokens.log_count[rows], items.start
    if queries <= FEW:
        few.settle_items(
            tokens.values[rows], tokens.scale[rows], log_count, fold.both, offsets, item,
            branch.forms, branch.steps, branch.starts, branch.longest, fold.constants,
            branch.model, dots[: len(dots) * keep], out,
        )  # fmt: skip
    else:
        z = tokens.rows(items.start, items.stop)
        np.matmul(z, fold.both.reshape(2 * queries, -1).T, out=dots)
        lanes.settle(
            dots, log_count, offsets, item, branch.forms, branch.steps, branch.starts,
            branch.longest, fold.constants, branch.model, keep, out,
        )  # fmt: skip
    return dots, out


def _product(
    seen: Branch, items: slice, dots: np.ndarray, out: np.ndarray, vectors: np.ndarray
) -> np.ndarray:
    """E_seen . E_heard with sound as vectors: sum_f a_f z_f . (H^T E), one product per pair."""
    block, queries = seen.block, out.shape[2]
    through = vectors @ block.H
    constant = vectors @ np.stack([block.h0, block.e, block.b], 1)
    offsets = seen.tokens.offsets[items.start : items.stop + 1] - seen.tokens.offsets[items.start]
    z, product = seen.tokens.rows(items.start, items.stop), np.zeros(out.shape[1:], np.float32)
    for v in np.flatnonzero(np.diff(offsets)):
        own = slice(int(offsets[v]), int(offsets[v + 1]))
        read = np.einsum("fq,qf->q", dots[own, :queries], through[v] @ z[own].T)
        product[v] = out[2, v] * (read + constant[v, :, 0])
        product[v] += out[3, v] * constant[v, :, 1] + constant[v, :, 2]
    return product


def _vectors(branch: Branch, fold: Folded, items: slice) -> Float32[np.ndarray, "item query dim"]:
    """E of each pair of a tile, from pooled tokens; zeros for items without tokens."""
    tokens, probe = branch.tokens, fold.both[0]
    pooled = np.empty((items.stop - items.start, *probe.shape), np.float32)
    offsets = tokens.offsets[items.start : items.stop + 1]
    rows = slice(int(offsets[0]), int(offsets[-1]))
    if len(probe) <= FEW:
        stream.pool_few(
            tokens.values[rows], tokens.scale[rows], tokens.log_count[rows], offsets, probe, pooled
        )
    else:
        for v in range(len(pooled)):
            item = items.start + v
            z = tokens.rows(item, item + 1)
            weights = z @ probe.T
            own = tokens.log_count[tokens.offsets[item] : tokens.offsets[item + 1]]
            lanes.soften_tile(weights, own)
            np.matmul(weights.T, z, out=pooled[v])
    vectors = output(branch.block, pooled.reshape(-1, tokens.dim)).reshape(pooled.shape)
    vectors[np.diff(offsets) == 0] = 0
    return vectors
