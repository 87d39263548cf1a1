"""Multi-head cross-attention with biases and without norms, as in CLIP's blocks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from seehear.nn.conditioning import head_width


class CrossAttention(nn.Module):
    """Attention from one sequence to another; an item with an empty memory gives 0.

    softmax(Q K^T / sqrt(dim / heads)) V W_O + b_O;  Q = x W_Q + b_Q,  K and V from the memory.
    """

    def __init__(self, dim: int, *, heads: int) -> None:
        super().__init__()
        self.heads, self.head_dim = heads, head_width(dim, heads)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(
        self,
        x: Float[Tensor, "item token dim"],
        memory: Float[Tensor, "item entry dim"],
        mask: Bool[Tensor, "item entry"],
    ) -> Float[Tensor, "item token dim"]:
        """Attend from each token of x to the memory of its item."""
        q, k, v = self._heads(x, memory)
        pooled = F.scaled_dot_product_attention(q, k, v, attn_mask=self._bias(mask, x.dtype))
        attended: Tensor = self.out(pooled.transpose(1, 2).flatten(-2))
        return attended.masked_fill(~mask.any(1)[:, None, None], 0)

    def weights(
        self,
        x: Float[Tensor, "item token dim"],
        memory: Float[Tensor, "item entry dim"],
        mask: Bool[Tensor, "item entry"],
    ) -> Float[Tensor, "item token entry"]:
        """Attention weights of the entries of the memory, averaged over heads."""
        q, k, _ = self._heads(x, memory)
        logits = q @ k.mT / self.head_dim**0.5 + self._bias(mask, x.dtype)
        return logits.softmax(-1).mean(1)

    def _heads(self, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        weights, biases = self.qkv.weight.chunk(3), self.qkv.bias.chunk(3)
        sources = (x, memory, memory)
        q, k, v = (
            F.linear(source, weight, bias).unflatten(-1, (self.heads, self.head_dim))
            for source, weight, bias in zip(sources, weights, biases, strict=True)
        )
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)

    @staticmethod
    def _bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
        lowest = torch.finfo(dtype).min  # not -inf: an empty memory would be NaN
        return torch.zeros_like(mask, dtype=dtype).masked_fill(~mask, lowest)[:, None, None]
