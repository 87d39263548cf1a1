"""Exact scores of many queries with many items, in tiles, one thread each.

Short token sets go through Gram matrices: two dots per token and pair, no vector per pair. Long
ones are pooled, one [query, dim] tile at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from seehear.engine.scoring.folded_weights import FoldedQueries, fold_queries
from seehear.engine.threads import run_tiles
from seehear.engine.vectors import unit
from seehear_lab.evaluate.matrix.many_queries import combine, score_tile, softmax_inplace
from seehear_lab.evaluate.matrix.prepared import Modality, PreparedItems

_ROWS, _QUERIES, _POOLED = 768, 512, 256  # tokens and queries of a tile: 3 MB of dots
_own = threading.local()


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoringJob:
    """Items, and the queries at unit length and folded with each modality's block."""

    items: PreparedItems
    folded: list[FoldedQueries]
    unit: Float32[np.ndarray, "query dim"]

    @property
    def pools(self) -> bool:
        """The last modality has too many tokens for Gram matrices."""
        return (self.items.heard or self.items.seen).index is None


@dataclass(frozen=True)
class Tile:
    """Items and queries that one thread scores together."""

    items: slice
    queries: Any  # slice, or numbers of queries


def score_matrix(
    query: Float[np.ndarray, "query dim"], items: PreparedItems, *, threads: int | None = None
) -> Float32[np.ndarray, "query item"]:
    """cos(t, E_seen + E_heard) of every query and item, or cos(t, E_seen) of sight alone.

    An item that is silent in one modality is scored by the other; one without tokens scores 0.

    Raises: ValueError if queries and items differ in width.
    """
    scores = np.empty((len(query), len(items)), np.float32)
    job = _job(query, items, threads)
    _run(job, _tiles(len(query), job), scores, threads)
    return scores


def rescore_top(
    query: Float[np.ndarray, "query dim"],
    scores: Float32[np.ndarray, "query item"],
    items: PreparedItems,
    *,
    top_k: int = 100,
    threads: int | None = None,
) -> Float32[np.ndarray, "query item"]:
    """Approximate scores with the best `top_k` items of each query scored exactly; a new array.

    Raises: ValueError if queries and items differ in width.
    """
    exact, top_k = scores.copy(), min(top_k, scores.shape[1])
    best = np.argpartition(-scores, top_k - 1, axis=1)[:, :top_k] if top_k else np.empty((0, 0))
    chosen = np.zeros(scores.shape, bool)
    np.put_along_axis(chosen, best.astype(np.int64), True, axis=1)
    tiles = (
        Tile(slice(item, item + 1), queries)
        for item in np.flatnonzero(chosen.any(0)).tolist()
        for queries in _pieces(np.flatnonzero(chosen[:, item]))
    )
    _run(_job(query, items, threads), tiles, exact, threads)
    return exact


def _pieces(queries: np.ndarray) -> Iterator[np.ndarray]:
    for begin in range(0, len(queries), _POOLED):
        yield queries[begin : begin + _POOLED]


def _job(query: np.ndarray, items: PreparedItems, threads: int | None) -> ScoringJob:
    if query.ndim != 2 or query.shape[1] != items.seen.tokens.dim:
        raise ValueError(f"queries are {query.shape}; expected [query, {items.seen.tokens.dim}]")
    modalities = [each for each in (items.seen, items.heard) if each]
    folded = [_folded(each, query, threads) for each in modalities]
    return ScoringJob(items=items, folded=folded, unit=unit(query).astype(np.float32))


def _folded(modality: Modality, query: np.ndarray, threads: int | None) -> FoldedQueries:
    """Folded a few queries at a time: float64 copies of all of them would take the most memory."""
    probe, value = np.empty((2, *query.shape), np.float32)
    constants = np.empty((3, len(query)), np.float32)

    def work(first: int) -> None:
        tile = slice(first, first + _POOLED)
        part = fold_queries(modality.block, query[tile])
        probe[tile], value[tile], constants[:, tile] = part.probe, part.value, part.constants

    run_tiles(work, range(0, len(query), _POOLED), threads=threads)
    return FoldedQueries(probe=probe, value=value, constants=constants)


def _run(job: ScoringJob, tiles: Iterable[Tile], scores: np.ndarray, threads: int | None) -> None:
    def work(tile: Tile) -> None:
        scores[tile.queries, tile.items] = _score(job, tile).T

    run_tiles(work, tiles, threads=threads)


def _tiles(queries: int, job: ScoringJob) -> Iterator[Tile]:
    """Cuts that bound every tile, whatever the lengths of the items."""
    items, tokens = len(job.items), job.items.seen.tokens.offsets
    if job.pools:
        width, cuts = _POOLED, np.arange(items)
    else:
        if job.items.heard:
            tokens = tokens + job.items.heard.tokens.offsets
        width, cuts = _QUERIES, np.searchsorted(tokens, np.arange(_ROWS, int(tokens[-1]), _ROWS))
    for first, stop in pairwise(sorted({0, *cuts.tolist(), items})):
        for begin in range(0, queries, width):
            yield Tile(slice(first, stop), slice(begin, min(begin + width, queries)))


def _score(job: ScoringJob, tile: Tile) -> Float32[np.ndarray, "item query"]:
    """Cosines of one tile, on one thread."""
    seen, heard, cross = job.items.seen, job.items.heard, job.items.cross
    folded, text = [_cut(each, tile.queries) for each in job.folded], job.unit[tile.queries]
    if seen.index is None:
        vectors = _vectors(seen, folded[0], tile.items)
        if heard:
            vectors = vectors + _vectors(heard, folded[1], tile.items)
        return _cosines(*_along(text, vectors))
    dots, out = _through_gram(seen, folded[0], tile.items, "seen", keep=heard is not None)
    if heard is None:
        return _cosines(out[0], out[1])
    if cross is None:
        vectors = _vectors(heard, folded[1], tile.items)
        product = _product(seen, tile.items, dots, out, vectors)
        dot, norm2 = _along(text, vectors)
        return _cosines(out[0] + dot, out[1] + norm2 + 2 * product)
    other_dots, other = _through_gram(heard, folded[1], tile.items, "heard", keep=True)
    cut, norm2 = slice(tile.items.start, tile.items.stop + 1), np.empty(out.shape[1:], np.float32)
    combine(
        (out, dots, seen.tokens.offsets[cut]),
        (other, other_dots, heard.tokens.offsets[cut]),
        (cross.numbers, cross.starts[tile.items], cross.closing),
        norm2,
    )
    return _cosines(out[0] + other[0], norm2)


def _cosines(dot: np.ndarray, norm2: np.ndarray) -> np.ndarray:
    """dot / |E|; a vector is never shorter than its dot with one of length 1."""
    return dot / np.sqrt(np.maximum(norm2, dot * dot + np.float32(1e-20)))


def _along(text: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.einsum("qd,iqd->iq", text, vectors), np.einsum("iqd,iqd->iq", vectors, vectors)


def _cut(queries: FoldedQueries, chosen: Any) -> FoldedQueries:
    return FoldedQueries(
        probe=queries.probe[chosen],
        value=queries.value[chosen],
        constants=np.ascontiguousarray(queries.constants[:, chosen]),
    )


def _scratch(modality: str, tokens: int, columns: int) -> np.ndarray:
    """Memory that this thread reuses for its tiles: fresh pages would cost a tenth of the time."""
    size = tokens * columns
    kept = getattr(_own, modality, None)
    if kept is None or len(kept) < size:
        kept = np.empty(size, np.float32)
        setattr(_own, modality, kept)
    return kept[:size].reshape(tokens, columns)


def _through_gram(
    modality: Modality, queries: FoldedQueries, items: slice, name: str, *, keep: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Attention (if `keep`) and value dots [token, 2 query]; out [4, item, query]."""
    tokens, index = modality.tokens, modality.index
    assert index is not None
    cut = slice(items.start, items.stop + 1)
    offsets, rows = tokens.offsets[cut], tokens.rows(items.start, items.stop)
    dots = _scratch(name, len(rows), 2 * len(queries.probe))
    out = np.empty((4, len(offsets) - 1, len(queries.probe)), np.float32)
    np.matmul(rows, np.concatenate([queries.probe, queries.value]).T, out=dots)
    log_count = tokens.log_count[offsets[0] : offsets[-1]]
    grams = (index.gram, index.step[items], index.starts[cut])
    score_tile(dots, log_count, offsets, grams, queries.constants, tuple(index.closing), keep, out)
    return dots, out


def _product(
    seen: Modality, items: slice, dots: np.ndarray, out: np.ndarray, vectors: np.ndarray
) -> np.ndarray:
    """E_seen . E_heard with sound as vectors: sum_f a_f z_f . (H^T E), one product per pair."""
    block, queries = seen.block, out.shape[2]
    through = vectors @ block.H
    constant = vectors @ np.stack([block.h0, block.e, block.b], 1)
    offsets = seen.tokens.offsets[items.start : items.stop + 1] - seen.tokens.offsets[items.start]
    z, product = seen.tokens.rows(items.start, items.stop), np.zeros(out.shape[1:], np.float32)
    for v in np.flatnonzero(np.diff(offsets)):
        own = slice(int(offsets[v]), int(offsets[v + 1]))
        dot = np.einsum("fq,qf->q", dots[own, :queries], through[v] @ z[own].T)
        product[v] = out[2, v] * (dot + constant[v, :, 0])
        product[v] += out[3, v] * constant[v, :, 1] + constant[v, :, 2]
    return product


def _vectors(
    modality: Modality, queries: FoldedQueries, items: slice
) -> Float32[np.ndarray, "item query dim"]:
    """E of each pair of a tile, from pooled tokens; zeros for items without tokens."""
    tokens = modality.tokens
    pooled = np.empty((items.stop - items.start, *queries.probe.shape), np.float32)
    for v, item in enumerate(range(items.start, items.stop)):
        z = tokens.rows(item, item + 1)
        attention = z @ queries.probe.T
        softmax_inplace(
            attention, tokens.log_count[tokens.offsets[item] : tokens.offsets[item + 1]]
        )
        np.matmul(attention.T, z, out=pooled[v])
    vectors = modality.block.output(pooled)
    vectors[np.diff(tokens.offsets[items.start : items.stop + 1]) == 0] = 0
    return vectors
