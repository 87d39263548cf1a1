"""Standardised tokens of many items in one row, without padding; float32 or int8 with scales."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int64, Num

from seehear.engine.scoring.fold import standardise


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedTokens:
    """Token f of item v is row `offsets[v] + f`; its value is `values * scale`.

    `log_count` is the logarithm of how many tokens a merged one stands for; it adds to the logit.
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
        values = self.values[begin:end]
        if values.dtype == np.float32:
            return values
        return np.multiply(values, self.scale[begin:end, None], dtype=np.float32)

    def take(self, items: Int64[np.ndarray, " chosen"]) -> PackedTokens:
        """A copy of the chosen items, in the order given."""
        lengths = np.diff(self.offsets)[items]
        offsets = _running(lengths)
        index = np.repeat(self.offsets[items] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return PackedTokens(
            values=self.values[index],
            scale=self.scale[index],
            log_count=self.log_count[index],
            offsets=offsets,
        )


def pack(
    tokens: Num[np.ndarray, "item token dim"],
    mask: Bool[np.ndarray, "item token"],
    *,
    eps: float = 1e-5,
) -> PackedTokens:
    """Raw padded tokens, standardised; whatever lies under a False mask is dropped."""
    kept = tokens[mask].astype(np.float32)
    return packed(standardise(kept, eps=eps), mask.sum(1))


def packed(
    values: Float32[np.ndarray, "token dim"],
    lengths: np.ndarray,
    log_count: np.ndarray | None = None,
) -> PackedTokens:
    """Tokens that are standardised and in a row already; item v owns the next `lengths[v]`."""
    return PackedTokens(
        values=np.ascontiguousarray(values, np.float32),
        scale=np.ones(len(values), np.float32),
        log_count=np.zeros(len(values), np.float32)
        if log_count is None
        else log_count.astype(np.float32),
        offsets=_running(lengths),
    )


def quantise(tokens: PackedTokens) -> PackedTokens:
    """The same tokens in int8: each row divided by its own scale, largest value / 127."""
    scale = np.abs(tokens.values).max(1, initial=0) / np.float32(127)
    scale = np.maximum(scale, np.float32(1e-30)).astype(np.float32)
    return PackedTokens(
        values=np.rint(tokens.values / scale[:, None]).astype(np.int8),
        scale=scale,
        log_count=tokens.log_count,
        offsets=tokens.offsets,
    )


def _running(lengths: np.ndarray) -> Int64[np.ndarray, " item_and_one"]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
