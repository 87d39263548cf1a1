"""Orderings that do not depend on the order of their input."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float, Int


def best_first(
    scores: Float[np.ndarray, " item"], ids: Sequence[str], *, k: int
) -> Int[np.ndarray, " hit"]:
    """Positions of the k highest scores, ties in the order of their ids."""
    return np.lexsort((np.asarray(ids, dtype=str), -scores))[:k]


def union(lists: Iterable[Sequence[str]]) -> list[str]:
    """Every id once, in the order of first appearance."""
    return list(dict.fromkeys(identifier for ids in lists for identifier in ids))
