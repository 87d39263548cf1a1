"""Exact text-conditioned scores, fast: tiles of items and queries, one thread each.

Short token sets go through their forms: two dots per token and pair, nothing as wide as a token
is made for a pair. Long ones are pooled by streaming softmax, one [query, dim] tile at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Float32

from seehear.engine.scoring.fold import Folded, fold_queries
from seehear.engine.scoring.forms import BLOCK, Branch, Cross
from seehear.engine.scoring.threads import cores, run_tiles
from seehear.engine.scoring.tile import FEW, Pair, Tile, find

_ROWS, _QUERIES, _STREAMED = 768, 512, 256  # tokens and queries of a tile: 3 MB of dots
_POOLED = 25  # long items of a tile of few queries
_ALONE = 8 * _ROWS  # tokens of few queries that one thread reads before another is awake
_SHARES = 8  # tiles for each thread of a long scan of few queries


def score(
    query: Float[np.ndarray, "query dim"],
    seen: Branch,
    heard: Branch | None = None,
    cross: Cross | None = None,
    *,
    threads: int | None = None,
) -> Float32[np.ndarray, "query item"]:
    """cos(t, E_seen + E_heard) of every query and item, or cos(t, E_seen) of one branch alone.

    An item that is silent in one branch is scored by the other; one without tokens scores 0.
    `cross` is needed when both have forms; when only one has, it must be `seen`.

    Raises: ValueError if the branches do not fit together.
    """
    scores = np.empty((len(query), len(seen.tokens)), np.float32)
    pair = _pair(query, seen, heard, cross, threads)
    _run(pair, _tiles(len(query), pair, threads), scores[None], threads)
    return scores


def parts(
    query: Float[np.ndarray, "query dim"],
    seen: Branch,
    heard: Branch,
    cross: Cross | None = None,
    *,
    threads: int | None = None,
) -> Float32[np.ndarray, "two query item"]:
    """The score split exactly: t . E_seen / |E| and t . E_heard / |E| with E their sum.

    Raises: ValueError if the branches do not fit together.
    """
    split = np.empty((2, len(query), len(seen.tokens)), np.float32)
    pair = _pair(query, seen, heard, cross, threads)
    _run(pair, _tiles(len(query), pair, threads), split, threads)
    return split


def rescore(
    query: Float[np.ndarray, "query dim"],
    scores: Float32[np.ndarray, "query item"],
    seen: Branch,
    heard: Branch | None = None,
    cross: Cross | None = None,
    *,
    head: int = 100,
    threads: int | None = None,
) -> Float32[np.ndarray, "query item"]:
    """Approximate scores with the best `head` items of each query scored exactly; a new array.

    Raises: ValueError if the branches do not fit together.
    """
    exact, head = scores.copy(), min(head, scores.shape[1])
    best = np.argpartition(-scores, head - 1, axis=1)[:, :head] if head else np.empty((0, 0))
    chosen = np.zeros(scores.shape, bool)
    np.put_along_axis(chosen, best.astype(np.int64), True, axis=1)
    pair = _pair(query, seen, heard, cross, threads)
    tiles = (
        Tile(slice(item, item + 1), some)
        for item in np.flatnonzero(chosen.any(0)).tolist()
        for some in _pieces(np.flatnonzero(chosen[:, item]))
    )
    _run(pair, tiles, exact[None], threads)
    return exact


def _pieces(queries: np.ndarray) -> Iterator[np.ndarray]:
    for begin in range(0, len(queries), _STREAMED):
        yield queries[begin : begin + _STREAMED]


def _folded(branch: Branch, query: np.ndarray, threads: int | None) -> Folded:
    whole = Folded(
        both=np.empty((2, *query.shape), np.float32),
        constants=np.empty((3, len(query)), np.float32),
    )

    def work(first: int) -> None:
        some = slice(first, first + _STREAMED)
        fold = fold_queries(branch.block, query[some])
        whole.both[:, some], whole.constants[:, some] = fold.both, fold.constants

    run_tiles(work, range(0, len(query), _STREAMED), threads=threads)
    return whole


def _pair(
    query: np.ndarray,
    seen: Branch,
    heard: Branch | None,
    cross: Cross | None,
    threads: int | None,
) -> Pair:
    if query.ndim != 2 or query.shape[1] != seen.tokens.dim:
        raise ValueError(f"queries are {query.shape}; expected [query, {seen.tokens.dim}]")
    if heard and len(heard.tokens) != len(seen.tokens):
        raise ValueError(f"{len(seen.tokens)} items seen but {len(heard.tokens)} heard; pair them")
    if heard and (seen.forms is None) and (heard.forms is not None):
        raise ValueError("sound with forms needs sight with forms; build both with branch()")
    if heard and (cross is None) == (heard.forms is not None):
        raise ValueError("`cross` goes with two branches that both have forms, and only with them")
    unit = query / np.maximum(np.linalg.norm(query, axis=1, keepdims=True), 1e-12)
    folds = [_folded(branch, query, threads) for branch in (seen, heard) if branch]
    return Pair(
        query=query, seen=seen, heard=heard, cross=cross, folds=folds, unit=unit.astype(np.float32)
    )


def _run(pair: Pair, tiles: Iterable[Tile], into: np.ndarray, threads: int | None) -> None:
    """Fill `into[part, query, item]`: one part (the score) or two (one per modality)."""

    def work(tile: Tile) -> None:
        seen, heard, scale = find(pair, tile)
        if len(into) == 1:
            into[0, tile.queries, tile.items] = ((seen + heard) * scale).T
        else:
            into[0, tile.queries, tile.items] = (seen * scale).T
            into[1, tile.queries, tile.items] = (heard * scale).T

    run_tiles(work, tiles, threads=threads)


def _tiles(queries: int, pair: Pair, threads: int | None) -> Iterator[Tile]:
    """Cuts that keep every tile small, whatever the lengths of the items."""
    items = len(pair.seen.tokens)
    if pair.streams:
        width, cuts = _STREAMED, np.arange(0, items, _POOLED if queries <= FEW else 1)
    else:
        tokens = pair.seen.tokens.offsets
        if pair.heard:
            tokens = tokens + pair.heard.tokens.offsets
        share = int(tokens[-1]) // (_SHARES * (threads or cores()))
        budget = _ROWS if queries > FEW else max(_ALONE, share)
        last = np.searchsorted(tokens, np.arange(budget, int(tokens[-1]), budget))
        width, cuts = _QUERIES, last // BLOCK * BLOCK
    for first, stop in pairwise(sorted({0, *cuts.tolist(), items})):
        for begin in range(0, queries, width):
            yield Tile(slice(first, stop), slice(begin, min(begin + width, queries)))
