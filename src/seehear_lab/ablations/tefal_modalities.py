"""TEFAL without a part: the sound branch alone, and means instead of attention."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from seehear.models.base import PRECOMPUTED, Encoder, RetrievalModel
from seehear.models.registry import register
from seehear.nn.conditioning import TextConditionedPool
from seehear.nn.pooling import cosines, masked_mean, unit
from seehear.nn.tokens import TokenBatch


@dataclass(frozen=True, kw_only=True)
class ModalityConfig:
    """Settings of the variants of TEFAL, for CLIP ViT-B/32 and AST-base."""

    dim: int = 512
    sound_dim: int = 768


class ProjectedSound(RetrievalModel):
    """Base of TEFAL's variants: sound tokens projected to the dimension of frames, as in TEFAL."""

    def __init__(self, config: ModalityConfig, *, encoder: Encoder = PRECOMPUTED) -> None:
        super().__init__(encoder=encoder)
        self.project = nn.Linear(config.sound_dim, config.dim)
        nn.init.trunc_normal_(self.project.weight, std=0.02)
        nn.init.zeros_(self.project.bias)

    def encode_items(self, media: Any) -> TokenBatch:
        """CLIP frames, and AST tokens projected to their dimension (E_A)."""
        tokens = super().encode_items(media)
        return replace(tokens, audio=self.project(tokens.audio))


@register("tefal.heard", ModalityConfig)
class SoundOnly(ProjectedSound):
    """The text-audio branch alone.  s = cos(E_T, E_{A|T}); an item without sound scores 0.

    Source: TEFAL, section 4.3, "audio only".
    """

    def __init__(self, config: ModalityConfig, *, encoder: Encoder = PRECOMPUTED) -> None:
        super().__init__(config, encoder=encoder)
        self.hear = TextConditionedPool(config.dim)

    def summary(self, items: TokenBatch) -> Float[Tensor, "item dim"]:
        """The mean of the sound tokens."""
        return unit(masked_mean(items.audio, items.audio_mask))

    def score(
        self, query: Float[Tensor, "query dim"], items: TokenBatch
    ) -> Float[Tensor, "query item"]:
        """cos(E_T, E_{A|T})."""
        heard = self.hear(query, items.audio, items.audio_mask)
        return cosines(query, heard)


@register("tefal.meanp", ModalityConfig)
class MeanPooled(ProjectedSound):
    """Sight and sound without attention.  u = LN_V(mean E_V) + LN_A(mean E_A);  s = cos(E_T, u).

    TEFAL with equal weights for all tokens: pooling does not depend on the text.
    """

    def __init__(self, config: ModalityConfig, *, encoder: Encoder = PRECOMPUTED) -> None:
        super().__init__(config, encoder=encoder)
        self.see, self.hear = nn.LayerNorm(config.dim), nn.LayerNorm(config.dim)

    def summary(self, items: TokenBatch) -> Float[Tensor, "item dim"]:
        """u at unit length; a missing modality adds nothing."""
        seen = self.see(masked_mean(items.frames, items.frame_mask))
        heard = self.hear(masked_mean(items.audio, items.audio_mask))
        seen = seen.masked_fill(~items.frame_mask.any(1, keepdim=True), 0)
        heard = heard.masked_fill(~items.audio_mask.any(1, keepdim=True), 0)
        return unit(seen + heard)
