"""Ranks and average precision with ties: the mean over all ways to order equal scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int


@dataclass(frozen=True, kw_only=True, eq=False)
class Ranks:
    """The rank of the right item of each query, from 1, and its average precision.

    `expected` is the mean over all ways to break ties; `optimistic` breaks every tie in favour of
    the right item, `pessimistic` against it. Without ties all three are equal. `precision` is
    average precision, 0 to 1, also the mean over ways to break ties.
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
        """True if a rank depends on how ties are broken."""
        return bool((self.optimistic != self.pessimistic).any())


def rank_one_target(
    scores: Float[np.ndarray, "query item"], target: Int[np.ndarray, " query"]
) -> Ranks:
    """Rank the one right item of each query: column `target[query]`.

    rank = 1 + #greater + #equal others / 2;  AP = mean of 1 / rank over the ways to break ties.

    Raises: ValueError for a NaN or a target that does not exist.
    """
    _check(scores, target, limit=scores.shape[1])
    own = scores[np.arange(len(scores)), target][:, None]
    greater = (scores > own).sum(1)
    equal = (scores == own).sum(1) - 1
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, scores.shape[1] + 1))])
    return Ranks(
        expected=1 + greater + equal / 2,
        optimistic=1 + greater,
        pessimistic=1 + greater + equal,
        precision=(harmonic[greater + equal + 1] - harmonic[greater]) / (equal + 1),
    )


def rank_any_target(
    scores: Float[np.ndarray, "query item"], query_of: Int[np.ndarray, " item"]
) -> Ranks:
    """Rank the best of several right items: those with `query_of[item]` equal to the query.

    With g others above the best right item, and o others and e right ones equal to it:
    rank = 1 + g + o / (e + 1).

    Raises: ValueError for a NaN, or for a query without a right item.
    """
    is_right = query_of[None] == np.arange(len(scores))[:, None]
    _check(scores, query_of, limit=len(scores))
    if not is_right.any(1).all():
        raise ValueError(f"query {int(is_right.any(1).argmin())} has no right item")
    best = np.where(is_right, scores, -np.inf).max(1, keepdims=True)
    greater = (scores > best).sum(1)
    others = ((scores == best) & ~is_right).sum(1)
    right = ((scores == best) & is_right).sum(1)
    return Ranks(
        expected=1 + greater + others / (right + 1),
        optimistic=1 + greater,
        pessimistic=1 + greater + others,
        precision=average_precision(scores, is_right),
    )


def average_precision(
    scores: Float[np.ndarray, "query item"], is_right: Bool[np.ndarray, "query item"]
) -> Float64[np.ndarray, " query"]:
    """Average precision of each query, 0 to 1: the mean over all ways to order equal scores.

    AP = 1/R sum_k right(k) hits(k) / k without ties. A run of n equal scores with r right ones,
    after s items with h right ones, adds
    sum_k (r / n) (h + 1 + (k - 1)(r - 1) / (n - 1)) / (s + k),  k = 1 .. n.
    0 where no item is right.

    Source: McSherry and Najork, ECIR 2008.
    Note: O(query * item log item) time, several arrays of scores' size.
    """
    order = np.argsort(-scores, axis=1)
    ranked = np.take_along_axis(scores, order, axis=1)
    right = np.take_along_axis(is_right, order, axis=1)
    hits = np.cumsum(right, axis=1)
    found = np.einsum("qi,qi->q", hits / np.arange(1, scores.shape[1] + 1), right)
    is_equal = np.zeros(right.shape, bool)  # to the item before
    is_equal[:, 1:] = ranked[:, 1:] == ranked[:, :-1]
    if is_equal.any():
        found += _tie_correction(is_equal, right, hits)
    return found / np.maximum(hits[:, -1], 1)


def _tie_correction(
    is_equal: Bool[np.ndarray, "query item"],
    right: Bool[np.ndarray, "query item"],
    hits: Int[np.ndarray, "query item"],
) -> Float64[np.ndarray, " query"]:
    """What the sum of `average_precision` changes by when runs of equal scores are shuffled."""
    is_tied = is_equal.copy()
    is_tied[:, :-1] |= is_equal[:, 1:]
    query, place = np.nonzero(is_tied)  # items of runs, run after run; places from 0
    starts = np.flatnonzero(~is_equal[query, place])
    run = np.cumsum(~is_equal[query, place]) - 1
    n, r = np.bincount(run), np.bincount(run, right[query, place])
    first = place[starts]
    before = (hits - right)[query[starts], first]
    expected = (before + 1)[run] + (place - first[run]) * ((r - 1) / (n - 1))[run]
    change = (r / n)[run] * expected - (hits * right)[query, place]
    return np.bincount(query, change / (place + 1), minlength=len(hits))


def _check(
    scores: Float[np.ndarray, "query item"], target: Int[np.ndarray, " any"], *, limit: int
) -> None:
    is_nan = np.isnan(scores)
    if is_nan.any():
        query, item = (int(index[0]) for index in np.nonzero(is_nan))
        raise ValueError(f"the score of query {query} and item {item} is NaN; it has no rank")
    if len(target) and not 0 <= target.min() <= target.max() < limit:
        raise ValueError(
            f"targets must be within 0 .. {limit - 1}, got {target.min()} to {target.max()}"
        )
