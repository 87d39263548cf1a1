"""Deterministic top-k and union: ties are broken by id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float, Int

ROUNDING = 2e-6  # relative; some last bits of single precision


def best_first(
    scores: Float[np.ndarray, " item"], ids: Sequence[str], *, k: int
) -> Int[np.ndarray, " hit"]:
    """Positions of the k highest scores, ties in the order of their ids.

    Scores within rounding count as ties: equal items scored in different batches differ in the
    last bits.
    """
    order = np.argsort(-scores, kind="stable")
    falling = scores[order].astype(np.float64)
    is_lower = -np.diff(falling) > ROUNDING * np.maximum(1.0, np.abs(falling[1:]))
    rank = np.empty(len(order), int)
    rank[order] = np.concatenate([[0], np.cumsum(is_lower)])[: len(order)]
    return np.lexsort((np.asarray(ids, dtype=str), rank))[:k]


def union(lists: Iterable[Sequence[str]]) -> list[str]:
    """Every id once, in the order of first appearance."""
    return list(dict.fromkeys(identifier for ids in lists for identifier in ids))
