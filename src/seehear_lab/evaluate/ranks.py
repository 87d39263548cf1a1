"""Ranks that survive ties: where the right answer stands among all, best first, from 1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int


@dataclass(frozen=True, kw_only=True, eq=False)
class Ranks:
    """One rank of each query. `expected`: the mean over all ways to break the ties.

    The other two break every tie for, or against, the right answer; without ties all are equal.
    `precision` is the average precision of each query, expected over ties in the same way.
    """

    expected: Float64[np.ndarray, " query"]
    optimistic: Int[np.ndarray, " query"]
    pessimistic: Int[np.ndarray, " query"]
    precision: Float64[np.ndarray, " query"]

    def __getitem__(self, rows: Bool[np.ndarray, " query"] | Int[np.ndarray, " some"]) -> Ranks:
        return Ranks(**{name: values[rows] for name, values in vars(self).items()})

    def __len__(self) -> int:
        return len(self.expected)

    @property
    def has_ties(self) -> bool:
        """True if some rank depends on how ties are broken."""
        return bool((self.optimistic != self.pessimistic).any())


def ranks_of_own(scores: Float[np.ndarray, "query item"], own: Int[np.ndarray, " query"]) -> Ranks:
    """Ranks where each query has one right item: its column `own`.

    rank = 1 + #greater + #equal others / 2;  AP = mean of 1 / rank over the ways to break ties.

    Raises: ValueError for a NaN or for an item that is not there.
    """
    _check(scores, own, limit=scores.shape[1])
    mine = scores[np.arange(len(scores)), own][:, None]
    greater = (scores > mine).sum(1)
    equal = (scores == mine).sum(1) - 1
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, scores.shape[1] + 1))])
    return Ranks(
        expected=1 + greater + equal / 2,
        optimistic=1 + greater,
        pessimistic=1 + greater + equal,
        precision=(harmonic[greater + equal + 1] - harmonic[greater]) / (equal + 1),
    )


def ranks_of_any(scores: Float[np.ndarray, "query item"], own: Int[np.ndarray, " item"]) -> Ranks:
    """Ranks of the best of several right items: those whose `own` is the number of the query.

    With g others above the best right one, o others and e right ones equal to it:
    rank = 1 + g + o / (e + 1).

    Raises: ValueError for a NaN, or for a query without a right item.
    """
    is_right = own[None] == np.arange(len(scores))[:, None]
    _check(scores, own, limit=len(scores))
    if not is_right.any(1).all():
        raise ValueError(f"query {int(is_right.any(1).argmin())} has no right item")
    best = np.where(is_right, scores, -np.inf).max(1, keepdims=True)
    greater = (scores > best).sum(1)
    others = ((scores == best) & ~is_right).sum(1)
    right = ((scores == best) & is_right).sum(1)
    pairs = zip(scores, is_right, strict=True)
    return Ranks(
        expected=1 + greater + others / (right + 1),
        optimistic=1 + greater,
        pessimistic=1 + greater + others,
        precision=np.array([average_precision(row, hits) for row, hits in pairs]),
    )


def average_precision(
    scores: Float[np.ndarray, " item"], is_right: Bool[np.ndarray, " item"]
) -> float:
    """Average precision of one query, expected over random ways to break ties.

    A run of n equal scores with r right ones, after s items with R right ones, adds
    sum_k (r / n) (R + 1 + (k - 1)(r - 1) / (n - 1)) / (s + k),  k = 1 .. n.

    Source: McSherry and Najork, ECIR 2008.
    """
    _, group, sizes = np.unique(-scores, return_inverse=True, return_counts=True)
    right = np.bincount(group, is_right)
    before = np.cumsum(sizes) - sizes
    place = np.arange(len(scores)) - np.repeat(before, sizes)  # k - 1
    n, r = np.repeat(sizes, sizes), np.repeat(right, sizes)
    found = np.repeat(np.cumsum(right) - right, sizes)
    share = found + 1 + place * (r - 1) / np.maximum(n - 1, 1)
    return float((r / n * share / (np.arange(len(scores)) + 1)).sum() / is_right.sum())


def _check(
    scores: Float[np.ndarray, "query item"], own: Int[np.ndarray, " any"], *, limit: int
) -> None:
    bad = np.isnan(scores)
    if bad.any():
        query, item = (int(place[0]) for place in np.nonzero(bad))
        raise ValueError(f"the score of query {query} and item {item} is NaN; no rank is possible")
    if len(own) and not 0 <= own.min() <= own.max() < limit:
        raise ValueError(f"right answers lie within 0 .. {limit - 1}, got {own.min()}, {own.max()}")
