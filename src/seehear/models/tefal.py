"""TEFAL: text-conditioned feature alignment of sight and sound (Ibrahimi et al., ICCV 2023)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from seehear.models.base import PRECOMPUTED, Encoder, RetrievalModel
from seehear.models.registry import register
from seehear.nn.conditioning import ResidualTextConditionedPool, TextConditionedPool
from seehear.nn.pooling import cosines
from seehear.nn.tokens import TokenBatch


@dataclass(frozen=True, kw_only=True)
class TEFALConfig:
    """Settings of TEFAL with CLIP ViT-B/32 and AST-base."""

    dim: int = 512
    sound_dim: int = 768
    heads: int = 1
    sound_gain: float = 1.0  # initial gain of the last norm over sound; 0: no sound at first


@register("tefal", TEFALConfig)
class TEFAL(RetrievalModel):
    """Sum of two independent text-conditioned pools, one over frames, one over sound tokens.

    E_{V|T} = LN(softmax(Q_T K_V^T / sqrt(D)) V_V W_O), likewise E_{A|T};
    s = cos(E_T, E_{V|T} + E_{A|T});  E_T = query, E_V = frames, E_A = W AST(sound) + b.

    Source: TEFAL, section 3.2, eq. 1-3; fusion by addition, Table 8.
    Differs: an item without sound scores by sight alone (the paper feeds a zero filter bank).
    Note: `score` takes O(query * item * dim) memory; callers walk items in chunks.
    """

    def __init__(self, config: TEFALConfig, *, encoder: Encoder = PRECOMPUTED) -> None:
        super().__init__(encoder=encoder)
        self.project = nn.Linear(config.sound_dim, config.dim)
        nn.init.trunc_normal_(self.project.weight, std=0.02)
        nn.init.zeros_(self.project.bias)
        self.see = self.new_pool(config)
        self.hear = self.new_pool(config)
        nn.init.constant_(self.hear.norm_out.weight, config.sound_gain)

    def new_pool(self, config: Any) -> TextConditionedPool | ResidualTextConditionedPool:
        """Make the block of eq. 1-3; sight and sound get one each."""
        return TextConditionedPool(config.dim, heads=config.heads)

    def encode_items(self, media: Any) -> TokenBatch:
        """CLIP frames unchanged, AST tokens projected to the dimension of the frames (E_A)."""
        tokens = super().encode_items(media)
        return replace(tokens, audio=self.project(tokens.audio))

    def score(
        self, query: Float[Tensor, "query dim"], items: TokenBatch
    ) -> Float[Tensor, "query item"]:
        """cos(E_T, E_{V|T} + E_{A|T})."""
        seen = self.see(query, items.frames, items.frame_mask)
        heard = self.hear(query, items.audio, items.audio_mask)
        return cosines(query, seen + heard)


@dataclass(frozen=True, kw_only=True)
class TEFALXPoolConfig(TEFALConfig):
    """Settings of TEFAL, and the dropout of X-Pool's block."""

    dropout: float = 0.3


@register("tefal.xpool", TEFALXPoolConfig)
class TEFALXPool(TEFAL):
    """TEFAL with the block of X-Pool, which ends in a linear layer with residual and layer norm.

    Without sound it equals X-Pool; for sight alone the paper reports the scores of X-Pool.

    Source: TEFAL, section 3.2; the block of X-Pool and its public code.
    Differs: TEFAL's eq. 3 does not show the linear layer.
    """

    def new_pool(self, config: Any) -> ResidualTextConditionedPool:
        """Make the block of X-Pool."""
        return ResidualTextConditionedPool(config.dim, heads=config.heads, dropout=config.dropout)
