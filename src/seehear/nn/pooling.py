"""Sequences of tokens -> one vector, without parameters; an empty sequence gives zeros."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def unit(x: Float[Tensor, "*row dim"]) -> Float[Tensor, "*row dim"]:
    """x / |x|; what is 0 stays 0, in half precision too."""
    return F.normalize(x, dim=-1, eps=_least(x))


def cosines(
    query: Float[Tensor, "query dim"], pooled: Float[Tensor, "query item dim"]
) -> Float[Tensor, "query item"]:
    """Cosine of every query with the vector that it drew from every item; 0 with a vector of 0."""
    dots = torch.einsum("qd,qid->qi", unit(query), pooled)
    return dots / torch.linalg.vector_norm(pooled, dim=-1).clamp(min=_least(pooled))


def _least(x: Tensor) -> float:
    """The least length to divide by: 1e-12 is 0 in float16."""
    return max(1e-12, torch.finfo(x.dtype).tiny)


def masked_mean(
    tokens: Float[Tensor, "item token dim"], mask: Bool[Tensor, "item token"]
) -> Float[Tensor, "item dim"]:
    """Mean of the tokens that are there.  sum_f m_f x_f / sum_f m_f."""
    present = tokens.masked_fill(~mask[..., None], 0)
    return present.sum(1) / mask.sum(1).clamp(min=1)[:, None]


def top_k_sum(
    query: Float[Tensor, "query dim"],
    tokens: Float[Tensor, "item token dim"],
    mask: Bool[Tensor, "item token"],
    *,
    k: int,
) -> Float[Tensor, "query item dim"]:
    """Sum of each item's k tokens nearest to each query, by dot product.

    Note: a sum, not a mean; an item with fewer than k tokens gives the sum of all it has.
    """
    dots = torch.einsum("qd,itd->qit", query, tokens).masked_fill(~mask, -torch.inf)
    nearest = dots.topk(min(k, mask.shape[1]), dim=-1).indices
    chosen = torch.zeros_like(dots).scatter(-1, nearest, 1.0)
    return torch.einsum("qit,itd->qid", chosen, tokens.masked_fill(~mask[..., None], 0))


def softmax_pool(
    query: Float[Tensor, "query dim"],
    tokens: Float[Tensor, "item token dim"],
    mask: Bool[Tensor, "item token"],
    *,
    temperature: float,
) -> Float[Tensor, "query item dim"]:
    """Tokens weighted by softmax(x . q / temperature) over each item's tokens."""
    dots = torch.einsum("qd,itd->qit", query, tokens) / temperature
    weights = masked_softmax(dots, mask)
    return torch.einsum("qit,itd->qid", weights, tokens.masked_fill(~mask[..., None], 0))


def masked_softmax(
    logits: Float[Tensor, "*batch item token"], mask: Bool[Tensor, "item token"]
) -> Float[Tensor, "*batch item token"]:
    """Softmax over the tokens that are there; all zeros where an item has none."""
    lowest = torch.finfo(logits.dtype).min  # not -inf: a row without tokens would be NaN
    return F.softmax(logits.masked_fill(~mask, lowest), dim=-1).masked_fill(~mask, 0)
