"""The two ways in which the product scores: a scan of an index, and stage 2 by pooling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32

from seehear.engine.scoring.dot_products import padded_rows, steps
from seehear.engine.scoring.few_queries import scan_items
from seehear.engine.scoring.folded_weights import FoldedBlock, fold_queries
from seehear.engine.scoring.gram import ModalityIndex
from seehear.engine.scoring.streaming_softmax import pool
from seehear.engine.scoring.tokens import PackedTokens
from seehear.engine.threads import cores, run_tiles
from seehear.engine.vectors import unit
from seehear.errors import counted

SCAN_TOKENS = 6144  # fewer are read sooner by one thread than by waking another
TILE_NUMBERS = 2**20  # of the vectors that a tile of pooled pairs holds


def scan(
    query: Float[np.ndarray, "query dim"], index: ModalityIndex, *, threads: int | None = None
) -> Float32[np.ndarray, "query item"]:
    """cos(t, E) of each query and item of one modality; 0 for an item without tokens.

    Note: O(query) passes over cached tokens; meant for few queries and up to 100,000 items.
    """
    tokens, folded = index.tokens, fold_queries(index.block, query)
    values = padded_rows(tokens.values)
    kinds = (steps(each, values.dtype) for each in (folded.probe, folded.value))
    queries = (*(part for kind in kinds for part in kind), folded.constants)
    out, closing = np.empty((len(tokens), len(query)), np.float32), tuple(index.closing)

    def work(items: slice) -> None:
        cut = slice(items.start, items.stop + 1)
        arrays = (values, tokens.scale, tokens.log_count, tokens.offsets[cut])
        grams = (index.gram, index.step[items], index.starts[cut])
        scan_items(arrays, queries, grams, closing, out[items])

    each = max(SCAN_TOKENS, int(tokens.offsets[-1]) // (8 * (threads or cores())))
    run_tiles(work, tokens.slices(each), threads=threads)
    return np.ascontiguousarray(out.T)


def modality_scores(
    query: Float[np.ndarray, "query dim"],
    blocks: Sequence[FoldedBlock],
    tokens: Sequence[PackedTokens],
    *,
    threads: int | None = None,
) -> Float32[np.ndarray, "modality query item"]:
    """The score split exactly: t . E_m / |E| for each modality m, with E the sum of all E_m.

    An item that is silent in one modality is scored by the other; one without tokens scores 0.

    Raises: ValueError if queries, blocks and tokens do not fit together.
    """
    items = len(tokens[0])
    for block, each in zip(blocks, tokens, strict=True):
        if query.ndim != 2 or not query.shape[1] == len(block.b) == each.dim:
            raise ValueError(
                f"queries are {query.shape}, tokens {each.dim} wide, the block {len(block.b)}"
            )
        if len(each) != items:
            raise ValueError(f"{counted(items, 'item')} in one modality but {len(each)} in another")
    probes, text = [fold_queries(block, query).probe for block in blocks], unit(query)
    split = np.empty((len(blocks), len(query), items), np.float32)

    def work(tile: slice) -> None:
        found = [pooled_output(*each, tile) for each in zip(blocks, tokens, probes, strict=True)]
        total = sum(found)
        length = np.sqrt(np.maximum(np.einsum("iqd,iqd->qi", total, total), 1e-20))
        for part, vectors in zip(split, found, strict=True):
            part[:, tile] = np.einsum("qd,iqd->qi", text, vectors) / length

    each = max(1, TILE_NUMBERS // max(query.size, 1))
    tiles = [slice(at, min(at + each, items)) for at in range(0, items, each)]
    run_tiles(work, tiles, threads=threads)
    return split


def pooled_output(
    block: FoldedBlock, tokens: PackedTokens, probe: np.ndarray, items: slice
) -> Float32[np.ndarray, "item query_or_one dim"]:
    """E of each pair, from pooled tokens; zeros for items without tokens.

    Items of at most one token (summaries) pool to the same vector for every query.
    """
    offsets = tokens.offsets[items.start : items.stop + 1]
    probe = probe[:1] if tokens.longest <= 1 else probe
    pooled = np.empty((len(offsets) - 1, *probe.shape), np.float32)
    values, wide = padded_rows(tokens.values), padded_rows(pooled)
    pool(values, tokens.scale, tokens.log_count, offsets, *steps(probe, values.dtype), wide)
    pooled = np.ascontiguousarray(wide[..., : tokens.dim])
    vectors = block.output(pooled)
    vectors[np.diff(offsets) == 0] = 0
    return vectors
