"""Items ready for many queries: Gram matrices of short token sets, tokens of long ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from seehear.engine.scoring import FoldedBlock, ModalityIndex, PackedTokens, build_index
from seehear.engine.threads import run_tiles
from seehear.errors import counted

MOST_TOKENS = 128  # beyond it, pooling costs less than Gram matrices


@dataclass(frozen=True, kw_only=True, eq=False)
class Modality:
    """The block and tokens of one modality; `index` is None where token sets are too long."""

    block: FoldedBlock
    tokens: PackedTokens
    index: ModalityIndex | None


@dataclass(frozen=True, kw_only=True, eq=False)
class CrossGram:
    """E_seen . E_heard from weights alone: per item h h'^T, then h . e', h . b', h' . e, h' . b."""

    numbers: Float32[np.ndarray, " number"]
    starts: Int64[np.ndarray, " item_and_one"]
    closing: Float32[np.ndarray, " four"]  # e . e', e . b', b . e', b . b'


@dataclass(frozen=True, kw_only=True, eq=False)
class PreparedItems:
    """One or two modalities of the same items; `cross` joins two that both have an index."""

    seen: Modality
    heard: Modality | None = None
    cross: CrossGram | None = None

    def __len__(self) -> int:
        return len(self.seen.tokens)


def prepare(
    blocks: Sequence[FoldedBlock],
    tokens: Sequence[PackedTokens],
    *,
    most_tokens: int = MOST_TOKENS,
    threads: int | None = None,
) -> PreparedItems:
    """Items of one modality or two; Gram matrices where no item has more than `most_tokens`.

    Sound gets Gram matrices only where sight has them.

    Raises: ValueError if tokens and blocks differ in width, or modalities in items.
    """
    if len(tokens[-1]) != len(tokens[0]):
        raise ValueError(
            f"{counted(len(tokens[0]), 'item')} seen but {len(tokens[-1])} heard; pair them"
        )
    found: list[Modality] = []
    for block, each in zip(blocks, tokens, strict=True):
        fits = each.longest <= most_tokens and all(one.index for one in found)
        index = build_index(block, each, threads=threads) if fits else None
        found.append(Modality(block=block, tokens=each, index=index))
    if len(found) == 1:
        return PreparedItems(seen=found[0])
    seen, heard = found
    cross = _cross_gram(seen, heard, threads) if heard.index else None
    return PreparedItems(seen=seen, heard=heard, cross=cross)


def _cross_gram(seen: Modality, heard: Modality, threads: int | None) -> CrossGram:
    a, b = seen.block, heard.block
    one, two = np.diff(seen.tokens.offsets), np.diff(heard.tokens.offsets)
    starts = np.concatenate([[0], np.cumsum(one * two + 2 * one + 2 * two)]).astype(np.int64)
    numbers = np.empty(starts[-1], np.float32)
    # h . h' = h H' z' + h . h0': frames are projected to the sound's space once, sound never
    own, other = np.stack([a.e, a.b]), np.stack([b.e, b.b])
    back, back0 = own @ b.H, own @ b.h0

    def work(item: int) -> None:
        h = seen.tokens.rows(item, item + 1) @ a.H.T + a.h0
        y = heard.tokens.rows(item, item + 1).T
        parts = (h @ b.H) @ y + (h @ b.h0)[:, None], other @ h.T, back @ y + back0[:, None]
        numbers[starts[item] : starts[item + 1]] = np.concatenate([x.ravel() for x in parts])

    run_tiles(work, range(len(one)), threads=threads)
    closing = np.array([a.e @ b.e, a.e @ b.b, a.b @ b.e, a.b @ b.b], np.float32)
    return CrossGram(numbers=numbers, starts=starts, closing=closing)
