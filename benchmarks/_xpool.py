"""X-Pool's pooling and similarity in torch, in the order its equations have (the baseline)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seehear.engine.scoring import Affine, BlockWeights


class XPool(nn.Module):
    """One head: LN1, Q K V, softmax over tokens, W_O, LN2, residual linear, LN3; then the cosine.

    Source: X-Pool (Gorti et al.), section 3.3; it forms one vector per [query, item] pair.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(dim) for _ in range(3))
        self.query, self.key, self.value = (nn.Linear(dim, dim) for _ in range(3))
        self.out, self.linear = nn.Linear(dim, dim), nn.Linear(dim, dim)
        for layer in (self.query, self.key, self.value, self.out, self.linear):
            nn.init.normal_(layer.weight, std=0.3 / dim**0.5)
            layer.weight.data += torch.eye(dim)
            nn.init.normal_(layer.bias, std=0.05)
        for norm in (self.norm1, self.norm2, self.norm3):
            nn.init.normal_(norm.weight, mean=1, std=0.1)
            nn.init.normal_(norm.bias, std=0.1)

    def keys_and_values(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """What a cache could hold: [item token dim] twice."""
        normed = self.norm1(tokens)
        return self.key(normed), self.value(normed)

    def forward(self, query: Tensor, cached: tuple[Tensor, Tensor]) -> Tensor:
        """[query, item]: the cosine of the raw query with what it pools."""
        key, value = (x[:, :, None] for x in cached)  # item token head dim
        probe = self.query(self.norm1(query))[:, None].permute(1, 2, 0)  # head dim query
        logits = key.permute(0, 2, 1, 3) @ probe / query.shape[1] ** 0.5  # item head token query
        pooled = value.permute(0, 2, 3, 1) @ logits.softmax(2)  # item head dim query
        pooled = pooled.permute(0, 3, 1, 2).flatten(2)  # item query dim
        pooled = self.norm2(self.out(pooled))
        pooled = self.norm3(pooled + self.linear(pooled))
        pooled = F.normalize(pooled, dim=-1)
        return (pooled.transpose(0, 1) @ F.normalize(query, dim=-1)[:, :, None]).squeeze(-1)

    def weights(self) -> BlockWeights:
        """The same numbers for the scorer."""
        names = ("norm1", "query", "key", "value", "out", "norm2", "linear", "norm3")
        one, q, k, v, out, two, linear, three = (_affine(getattr(self, name)) for name in names)
        return BlockWeights(
            norm_in=one,
            query=q,
            key=k,
            value=v,
            out=out,
            norm_out=two,
            linear=linear,
            norm_last=three,
        )


def score(model: XPool, query: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """The module as its evaluation calls it: everything from raw queries and raw tokens."""
    with torch.inference_mode():
        cached = model.keys_and_values(torch.from_numpy(tokens))
        return model(torch.from_numpy(query), cached).numpy()


def _affine(layer: nn.Linear | nn.LayerNorm) -> Affine:
    assert layer.bias is not None
    return Affine(weight=layer.weight.detach().numpy(), bias=layer.bias.detach().numpy())
