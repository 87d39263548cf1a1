"""Layer-normalised tokens of many items in one array without padding; float32 or int8."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Float32, Int64, Num

from seehear.engine.scoring.compiled import compiled
from seehear.engine.scoring.folded_weights import layer_norm_no_affine


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedTokens:
    """Token f of item v is `values[offsets[v] + f] * scale[offsets[v] + f]`.

    `log_count` is the logarithm of how many tokens a merged one replaces; it adds to the logit.
    """

    values: np.ndarray  # [token, dim], float32 or int8
    scale: Float32[np.ndarray, " token"]
    log_count: Float32[np.ndarray, " token"]
    offsets: Int64[np.ndarray, " item_and_one"]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def dim(self) -> int:
        """Width of a token."""
        return self.values.shape[1]

    @property
    def longest(self) -> int:
        """Tokens of the longest item."""
        return int(np.diff(self.offsets).max(initial=0))

    def rows(self, first: int, last: int) -> Float32[np.ndarray, "token dim"]:
        """The tokens of items [first, last) in float32."""
        begin, end = int(self.offsets[first]), int(self.offsets[last])
        if self.values.dtype == np.float32:
            return self.values[begin:end]
        return np.multiply(self.values[begin:end], self.scale[begin:end, None], dtype=np.float32)

    def take(self, items: Int64[np.ndarray, " chosen"]) -> PackedTokens:
        """A copy of the chosen items, in the order given."""
        lengths = np.diff(self.offsets)[items]
        offsets = running(lengths)
        index = np.repeat(self.offsets[items] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return PackedTokens(
            values=self.values[index],
            scale=self.scale[index],
            log_count=self.log_count[index],
            offsets=offsets,
        )

    def slices(self, tokens: int) -> Iterator[slice]:
        """Slices of items with about `tokens` tokens each."""
        last = np.searchsorted(self.offsets, np.arange(tokens, int(self.offsets[-1]), tokens))
        yield from (slice(*pair) for pair in pairwise(sorted({0, *last.tolist(), len(self)})))


def pack(
    tokens: Num[np.ndarray, "item token dim"],
    mask: Bool[np.ndarray, "item token"],
    *,
    eps: float = 1e-5,
) -> PackedTokens:
    """Raw padded tokens, layer-normalised; values under a False mask are dropped."""
    return packed(layer_norm_no_affine(tokens[mask].astype(np.float32), eps=eps), mask.sum(1))


def pack_stored(
    tokens: Num[np.ndarray, "item token dim"], mask: Bool[np.ndarray, "item token"]
) -> PackedTokens:
    """Stored tokens, layer-normalised already; int8 stays int8, at the scale of variance one."""
    kept = np.ascontiguousarray(tokens[mask])
    if kept.dtype != np.int8:
        return packed(kept.astype(np.float32), mask.sum(1))
    return PackedTokens(
        values=kept,
        scale=_scales(kept),
        log_count=np.zeros(len(kept), np.float32),
        offsets=running(mask.sum(1)),
    )


@compiled
@no_type_check
def _scales(values: np.ndarray) -> np.ndarray:
    scales = np.empty(len(values), np.float32)
    for f in range(len(values)):
        total = np.float32(0)
        for d in range(values.shape[1]):
            total += np.float32(values[f, d]) * np.float32(values[f, d])
        scales[f] = np.sqrt(np.float32(values.shape[1]) / max(total, np.float32(1e-20)))
    return scales


def packed(
    values: Float32[np.ndarray, "token dim"],
    lengths: np.ndarray,
    log_count: np.ndarray | None = None,
) -> PackedTokens:
    """Layer-normalised tokens in one array already; item v has the next `lengths[v]`."""
    counts = np.zeros(len(values)) if log_count is None else log_count
    return PackedTokens(
        values=np.ascontiguousarray(values, np.float32),
        scale=np.ones(len(values), np.float32),
        log_count=counts.astype(np.float32),
        offsets=running(lengths),
    )


def quantise(tokens: PackedTokens) -> PackedTokens:
    """The same tokens in int8: each row divided by its own scale, largest value / 127."""
    if tokens.values.dtype == np.int8:
        return tokens
    scale = np.maximum(np.abs(tokens.values).max(1, initial=0) / np.float32(127), 1e-30)
    values = np.rint(tokens.values / scale[:, None]).astype(np.int8)
    return replace(tokens, values=values, scale=scale.astype(np.float32))


def running(lengths: np.ndarray) -> Int64[np.ndarray, " item_and_one"]:
    """0 and the running sums."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
