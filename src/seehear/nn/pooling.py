"""Pool token sequences to one vector without parameters; an empty sequence gives zeros."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def unit(x: Float[Tensor, "*row dim"]) -> Float[Tensor, "*row dim"]:
    """Scale vectors to unit length, x / |x|; 0 stays 0, in half precision too."""
    return F.normalize(x, dim=-1, eps=_min_length(x))


def cosines(
    query: Float[Tensor, "query dim"], pooled: Float[Tensor, "query item dim"]
) -> Float[Tensor, "query item"]:
    """Cosine of each query with the vector that it pooled from each item; 0 for a zero vector."""
    dots = torch.einsum("qd,qid->qi", unit(query), pooled)
    return dots / torch.linalg.vector_norm(pooled, dim=-1).clamp(min=_min_length(pooled))


def _min_length(x: Tensor) -> float:
    """Smallest length to divide by; 1e-12 would be 0 in float16."""
    return max(1e-12, torch.finfo(x.dtype).tiny)


def zero_padding(
    tokens: Float[Tensor, "*item token dim"], mask: Bool[Tensor, "*item token"]
) -> Float[Tensor, "*item token dim"]:
    """Set padding to 0, whatever it contains, NaN included."""
    return tokens.masked_fill(~mask[..., None], 0)


def masked_mean(
    tokens: Float[Tensor, "item token dim"], mask: Bool[Tensor, "item token"]
) -> Float[Tensor, "item dim"]:
    """Mean over the unmasked tokens of each item.  sum_f m_f x_f / sum_f m_f."""
    return zero_padding(tokens, mask).sum(1) / mask.sum(1).clamp(min=1)[:, None]


def top_k_sum(
    query: Float[Tensor, "query dim"],
    tokens: Float[Tensor, "item token dim"],
    mask: Bool[Tensor, "item token"],
    *,
    k: int,
) -> Float[Tensor, "query item dim"]:
    """Sum of the k tokens of each item with the largest dot product with each query.

    Note: a sum, not a mean; an item with fewer than k tokens gives the sum of all.
    """
    dots = torch.einsum("qd,itd->qit", query, tokens).masked_fill(~mask, -torch.inf)
    nearest = dots.topk(min(k, mask.shape[1]), dim=-1).indices
    chosen = torch.zeros_like(dots).scatter(-1, nearest, 1.0)
    return torch.einsum("qit,itd->qid", chosen, zero_padding(tokens, mask))


def softmax_pool(
    query: Float[Tensor, "query dim"],
    tokens: Float[Tensor, "item token dim"],
    mask: Bool[Tensor, "item token"],
    *,
    temperature: float,
) -> Float[Tensor, "query item dim"]:
    """Sum of the tokens of each item, weighted by softmax(x . q / temperature)."""
    dots = torch.einsum("qd,itd->qit", query, tokens) / temperature
    weights = masked_softmax(dots, mask)
    return torch.einsum("qit,itd->qid", weights, zero_padding(tokens, mask))


def masked_softmax(
    logits: Float[Tensor, "*batch item token"], mask: Bool[Tensor, "item token"]
) -> Float[Tensor, "*batch item token"]:
    """Softmax over the unmasked tokens of each item; all zeros for an item without tokens."""
    lowest = torch.finfo(logits.dtype).min  # -inf would give NaN for a row without tokens
    return F.softmax(logits.masked_fill(~mask, lowest), dim=-1).masked_fill(~mask, 0)
