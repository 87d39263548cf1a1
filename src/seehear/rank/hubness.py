"""Corrections for hubs (items that rank high for most queries), on scores[query, item].

A transductive function looks at all test queries at once: valid only if all test queries are known
in advance, never in a search. An inductive one looks at a bank of other queries instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64

Label = Literal["transductive", "inductive"]
LABELS: Mapping[str, Label] = MappingProxyType(
    {
        "dual_softmax": "transductive",
        "log_dual_softmax": "transductive",
        "inverted_softmax": "transductive",
        "qb_norm": "inductive",
    }
)


class Bank(NamedTuple):
    """A query bank summarised for QB-Norm: one number and one flag per item."""

    beta: float
    log_z: Float64[np.ndarray, " item"]  # log sum_b exp(beta * s[b, item])
    active: Bool[np.ndarray, " item"]  # some bank query has the item among its k best


def inverted_softmax(
    scores: Float[np.ndarray, "query item"], *, beta: float
) -> Float64[np.ndarray, "query item"]:
    """Log-probability of each query given the item (transductive).

    log P[q, i] = beta s[q, i] - log sum_q' exp(beta s[q', i]).

    Source: Smith et al., ICLR 2017.
    """
    scaled = beta * np.asarray(scores, dtype=np.float64)
    return scaled - log_sum_exp(scaled)


def dual_softmax(
    scores: Float[np.ndarray, "query item"], *, scale: float = 100.0
) -> Float64[np.ndarray, "query item"]:
    """Scores weighted by how much each item prefers the query: DSL (transductive).

    s'[q, i] = s[q, i] * softmax_q(scale * s[q, i]).

    Source: CAMoE (Cheng et al., 2021); at inference on cosines with scale 100.
    Note: a small weight lifts a negative score towards 0; where scores are negative, use
    `log_dual_softmax`. For the other direction pass the transposed scores.
    """
    return np.asarray(scores, dtype=np.float64) * np.exp(inverted_softmax(scores, beta=scale))


def log_dual_softmax(
    scores: Float[np.ndarray, "query item"], *, scale: float = 100.0
) -> Float64[np.ndarray, "query item"]:
    """Sum of both log-softmaxes: DSL for scores of any sign (transductive).

    s'[q, i] = log softmax_q(scale * s)[q, i] + log softmax_i(scale * s)[q, i].

    Differs: DSL multiplies the score itself, not its softmax over items; rankings differ a little.
    """
    by_item = inverted_softmax(scores, beta=scale)
    return by_item + inverted_softmax(np.asarray(scores).T, beta=scale).T


def summarise_bank(
    bank_scores: Float[np.ndarray, "bank item"], *, beta: float = 20.0, k: int = 1
) -> Bank:
    """Summarise a query bank for QB-Norm: one number and one flag per item.

    Differs: items that tie with the k-th best are all active, so item order never matters.
    Raises: ValueError if k is not within 1 .. the number of items.
    """
    bank = np.asarray(bank_scores, dtype=np.float64)
    if not 1 <= k <= bank.shape[1]:
        raise ValueError(f"k={k} best of {bank.shape[1]} items; choose k from 1 to that number")
    kth_best = np.partition(bank, -k, axis=1)[:, -k]
    active = np.asarray((bank >= kth_best[:, None]).any(axis=0))
    return Bank(beta, log_sum_exp(beta * bank), active)


def is_hub_answer(
    scores: Float[np.ndarray, "query item"], bank: Bank
) -> Bool[np.ndarray, " query"]:
    """Queries whose best item (any of them, if tied) is active: the rows that QB-Norm changes."""
    best = scores >= scores.max(axis=1, keepdims=True)
    return np.asarray((best & bank.active).any(axis=1))


def apply_bank(
    scores: Float[np.ndarray, "query item"], bank: Bank
) -> Float64[np.ndarray, "query item"]:
    """Scores after QB-Norm, with a bank summarised beforehand.

    s'[q, i] = beta s[q, i] - log_z[i] if the best item of q is active, else beta s[q, i].
    """
    scaled = bank.beta * np.asarray(scores, dtype=np.float64)
    return scaled - np.where(is_hub_answer(scores, bank)[:, None], bank.log_z, 0.0)


def qb_norm(
    scores: Float[np.ndarray, "query item"],
    bank_scores: Float[np.ndarray, "bank item"],
    *,
    beta: float = 20.0,
    k: int = 1,
) -> Float64[np.ndarray, "query item"]:
    """Scores after dynamic inverted softmax with a bank of other queries (inductive).

    Source: QB-Norm (Bogolin et al., CVPR 2022); in log space, so nothing overflows.
    Differs: untouched rows are beta * s, not s; order within a row is the paper's.
    Note: rows have different scales; never compare scores of two queries or transpose them.
    """
    return apply_bank(scores, summarise_bank(bank_scores, beta=beta, k=k))


def log_sum_exp(values: Float64[np.ndarray, "query item"]) -> Float64[np.ndarray, " item"]:
    """log sum_q exp(values[q, i]), safe for any finite values."""
    highest = values.max(axis=0)
    return highest + np.log(np.exp(values - highest).sum(axis=0))
