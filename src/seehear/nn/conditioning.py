"""Text-conditioned pooling: each query pools the tokens of an item by its own attention."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from seehear.nn.pooling import masked_mean, masked_softmax, zero_padding


def identity_linear(dim: int) -> nn.Linear:
    """Make a linear layer that starts as the identity, with bias 0."""
    linear = nn.Linear(dim, dim)
    nn.init.eye_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


def head_width(dim: int, heads: int) -> int:
    """Width of one attention head.

    Raises: ValueError unless `heads` divides `dim`.
    """
    if heads < 1 or dim % heads:
        raise ValueError(f"a width of {dim} cannot be shared by {heads} heads; choose a divisor")
    return dim // heads


class TextConditionedPool(nn.Module):
    """Attention from a query to the tokens of an item, followed by a layer norm.

    Q = LN(E_T) W_Q,  K = LN(E) W_K,  V = LN(E) W_V,
    E_{.|T} = LN_out(softmax(Q K^T / sqrt(dim / heads)) V W_O);  all W are square, with bias.

    Source: TEFAL, section 3.2, eq. 1-3; the same as X-Pool up to its last linear layer.
    Differs: an item without tokens gives 0 (the papers have no such items); query and tokens share
    LN, and all W start as the identity, as in X-Pool (TEFAL does not specify either).
    """

    def __init__(self, dim: int, *, heads: int = 1) -> None:
        super().__init__()
        self.heads, self.head_dim = heads, head_width(dim, heads)
        self.norm_in = nn.LayerNorm(dim)
        self.query = identity_linear(dim)
        self.key = identity_linear(dim)
        self.value = identity_linear(dim)
        self.out = identity_linear(dim)
        self.norm_out = nn.LayerNorm(dim)

    def _split(self, x: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows head width"]:
        return x.unflatten(-1, (self.heads, self.head_dim))

    def logits(
        self, query: Float[Tensor, "query dim"], tokens: Float[Tensor, "item token dim"]
    ) -> Float[Tensor, "query head item token"]:
        """Attention logits, Q K^T / sqrt(dim / heads), padding included."""
        q = self._split(self.query(self.norm_in(query)))
        k = self._split(self.key(self.norm_in(tokens)))
        return torch.einsum("qhd,ithd->qhit", q, k) / self.head_dim**0.5

    def weights(
        self,
        query: Float[Tensor, "query dim"],
        tokens: Float[Tensor, "item token dim"],
        mask: Bool[Tensor, "item token"],
    ) -> Float[Tensor, "query head item token"]:
        """Attention weight of each token; sums to 1 per item, or 0 without tokens."""
        return masked_softmax(self.logits(query, tokens), mask)

    def forward(
        self,
        query: Float[Tensor, "query dim"],
        tokens: Float[Tensor, "item token dim"],
        mask: Bool[Tensor, "item token"],
    ) -> Float[Tensor, "query item dim"]:
        """E_{.|T} for every query and item."""
        tokens = zero_padding(tokens, mask)
        value = self._split(self.value(self.norm_in(tokens)))
        # items first: the layout of the matrix product, so that nothing is copied before W_O
        pooled = torch.einsum("qhit,ithd->iqhd", self.weights(query, tokens, mask), value)
        return zero_empty_items(self.norm_out(self.out(pooled.flatten(-2))).transpose(0, 1), mask)

    def pool_uniformly(
        self, tokens: Float[Tensor, "item token dim"], mask: Bool[Tensor, "item token"]
    ) -> Float[Tensor, "item dim"]:
        """Output under uniform attention: a summary that does not depend on a query."""
        pooled = masked_mean(self.value(self.norm_in(tokens)), mask)
        return self.norm_out(self.out(pooled)).masked_fill(~mask.any(1, keepdim=True), 0)


class ResidualTextConditionedPool(nn.Module):
    """Block of X-Pool: a text-conditioned pool, then a linear layer with residual and layer norm.

    o = TextConditionedPool(t, v);  out = LN3(o + Dropout(W_L o + b_L)).

    Source: X-Pool (Gorti et al., CVPR 2022) and its public code; all W start as the identity.
    Differs: an item without tokens gives 0 (the paper has no such items).
    """

    def __init__(self, dim: int, *, heads: int = 1, dropout: float = 0.3) -> None:
        super().__init__()
        self.pool = TextConditionedPool(dim, heads=heads)
        self.linear = identity_linear(dim)
        self.dropout = nn.Dropout(dropout)
        self.norm_out = nn.LayerNorm(dim)

    def forward(
        self,
        query: Float[Tensor, "query dim"],
        tokens: Float[Tensor, "item token dim"],
        mask: Bool[Tensor, "item token"],
    ) -> Float[Tensor, "query item dim"]:
        """Pooled vector of every query and item."""
        pooled = self.pool(query, tokens, mask)
        return zero_empty_items(self.norm_out(pooled + self.dropout(self.linear(pooled))), mask)

    def pool_uniformly(
        self, tokens: Float[Tensor, "item token dim"], mask: Bool[Tensor, "item token"]
    ) -> Float[Tensor, "item dim"]:
        """Output under uniform attention: a summary that does not depend on a query."""
        pooled = self.pool.pool_uniformly(tokens, mask)
        summary = self.norm_out(pooled + self.linear(pooled))
        return summary.masked_fill(~mask.any(1, keepdim=True), 0)


def zero_empty_items(
    pooled: Float[Tensor, "query item dim"], mask: Bool[Tensor, "item token"]
) -> Float[Tensor, "query item dim"]:
    """Set the vectors of items without tokens to 0."""
    return pooled.masked_fill(~mask.any(1)[:, None], 0)
