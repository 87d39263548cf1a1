"""X-Pool: text-conditioned pooling of frames, and its two baselines (Gorti et al., CVPR 2022)."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from seehear.models.base import PRECOMPUTED, Encoder, RetrievalModel
from seehear.models.registry import register
from seehear.nn.conditioning import ResidualTextConditionedPool
from seehear.nn.pooling import cosines, softmax_pool, top_k_sum, unit
from seehear.nn.tokens import TokenBatch


@dataclass(frozen=True, kw_only=True)
class XPoolConfig:
    """Settings of X-Pool on MSR-VTT-9k with CLIP ViT-B/32."""

    dim: int = 512
    heads: int = 1
    dropout: float = 0.3  # 0.4 on MSR-VTT-7k and MSVD


@register("xpool", XPoolConfig)
class XPool(RetrievalModel):
    """Each query pools the frames by its attention over them; sound is not used.

    t = query, v = frames;  s(t, v) = cos(t, pool(t, v)), with t unchanged from CLIP.

    Source: X-Pool and its public code.
    Note: `score` takes O(query * item * dim) memory; callers walk items in chunks.
    """

    def __init__(self, config: XPoolConfig, *, encoder: Encoder = PRECOMPUTED) -> None:
        super().__init__(encoder=encoder)
        self.see = ResidualTextConditionedPool(
            config.dim, heads=config.heads, dropout=config.dropout
        )

    def score(
        self, query: Float[Tensor, "query dim"], items: TokenBatch
    ) -> Float[Tensor, "query item"]:
        """cos(t, pool(t, v))."""
        seen = self.see(query, items.frames, items.frame_mask)
        return cosines(query, seen)


@dataclass(frozen=True, kw_only=True)
class TopKConfig:
    """Number of frames that a query selects."""

    k: int = 3


@register("xpool.topk", TopKConfig)
class XPoolTopK(RetrievalModel):
    """Each query sums its k nearest frames; unit vectors, no parameters.

    s(t, v) = cos(t, sum of the k frames with the highest cos(t, v_f)).

    Source: X-Pool, top-k aggregation.
    """

    def __init__(self, config: TopKConfig, *, encoder: Encoder = PRECOMPUTED) -> None:
        super().__init__(encoder=encoder)
        self.k = config.k

    def score(
        self, query: Float[Tensor, "query dim"], items: TokenBatch
    ) -> Float[Tensor, "query item"]:
        """cos(t, sum of the nearest frames)."""
        query, frames = unit(query), unit(items.frames)
        seen = top_k_sum(query, frames, items.frame_mask, k=self.k)
        return cosines(query, seen)


@dataclass(frozen=True, kw_only=True)
class AttentionConfig:
    """Temperature of the softmax over frames."""

    temperature: float = 0.01


@register("xpool.attention", AttentionConfig)
class XPoolAttention(RetrievalModel):
    """Each query weighs the frames by a softmax of cosines; unit vectors, no parameters.

    s(t, v) = cos(t, sum_f a_f v_f),  a = softmax_f(cos(t, v_f) / temperature).

    Source: X-Pool, attention with CLIP's joint space.
    """

    def __init__(self, config: AttentionConfig, *, encoder: Encoder = PRECOMPUTED) -> None:
        super().__init__(encoder=encoder)
        self.temperature = config.temperature

    def score(
        self, query: Float[Tensor, "query dim"], items: TokenBatch
    ) -> Float[Tensor, "query item"]:
        """cos(t, weighted sum of the frames)."""
        query, frames = unit(query), unit(items.frames)
        seen = softmax_pool(query, frames, items.frame_mask, temperature=self.temperature)
        return cosines(query, seen)
