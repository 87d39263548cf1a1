"""AVIGATE: frames attend to sound through learned gates (Jeong et al., CVPR 2025)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seehear.models.base import PRECOMPUTED, Encoder
from seehear.models.clip4clip import CLIP4Clip
from seehear.models.registry import register
from seehear.nn.gated_fusion import FusionBlock, ResamplerBlock
from seehear.nn.pooling import unit, zero_padding
from seehear.nn.temporal import Positions, Unchanged, init_like_bert
from seehear.nn.tokens import TokenBatch


@dataclass(frozen=True, kw_only=True)
class AVIGATEConfig:
    """Settings of AVIGATE with CLIP ViT-B/32 and AST-base."""

    dim: int = 512
    sound_dim: int = 768
    sounds: int = 12  # learned queries that condense the sound tokens
    gate_dim: int = 256
    layers: int = 4  # of the resampler and of the fusion
    heads: int = 8
    positions: int = 77  # of frames
    share: float = 0.05  # weight of the fused frames; 1 - share is that of the frames before


@register("avigate", AVIGATEConfig)
class AVIGATE(CLIP4Clip):
    """Frames fused with gated sound, scored by the best frame and by their mean.

    v' = 0.05 fusion(v + P, resample(W sound)) + 0.95 (v + P);  c_f = cos(t, v'_f);
    s = (log sum_f exp(tau c_f) / tau + cos(t, mean of unit v')) / 2;  tau = exp(logit_scale).

    Source: AVIGATE, section 3, and its public code; its margin is in `seehear_lab.losses`.
    Differs: gates and fusion ignore padding frames (the code includes them); both gates are 0 for
    an item without sound (the code feeds a zero filter bank); the log of the sum does not overflow;
    any sound tokens are accepted (the code puts the mean of AST's class and distillation tokens
    before the patches).
    """

    def __init__(self, config: AVIGATEConfig, *, encoder: Encoder = PRECOMPUTED) -> None:
        super().__init__(temporal=Unchanged(), encoder=encoder)
        dim, heads, layers = config.dim, config.heads, range(config.layers)
        self.share = config.share
        self.position = Positions(config.positions, dim)
        self.entry = nn.Parameter(nn.init.orthogonal_(torch.empty(config.sounds, dim)))
        self.entry_position = Positions(config.sounds, dim)
        self.resampler: Any = nn.ModuleList(ResamplerBlock(dim, heads=heads) for _ in layers)
        self.fusion: Any = nn.ModuleList(
            FusionBlock(dim, heads=heads, gate_dim=config.gate_dim) for _ in layers
        )
        for part in (self.position, self.entry_position, self.resampler, self.fusion):
            part.apply(init_like_bert)
        self.project = nn.Linear(config.sound_dim, config.dim)
        nn.init.normal_(self.project.weight, std=config.sound_dim**-0.5)
        nn.init.zeros_(self.project.bias)

    def encode_items(self, media: Any) -> TokenBatch:
        """Frames fused with the sound; the score needs no sound tokens."""
        raw = super().encode_items(media)
        placed = self.add_positions(raw)
        items = replace(raw, **self.resample(raw))
        x = placed
        for block in self.fusion:
            x = block.fuse(x, items)
        return TokenBatch(
            frames=self.share * x + (1 - self.share) * placed,
            frame_mask=raw.frame_mask,
            audio=items.audio[:, :0],
            audio_mask=items.audio_mask[:, :0],
        )

    def add_positions(self, raw: TokenBatch) -> Float[Tensor, "item frame dim"]:
        """Frames with position embeddings.  v + P."""
        return self.position.add_to(zero_padding(raw.frames, raw.frame_mask))

    def resample(self, raw: TokenBatch) -> dict[str, Tensor]:
        """Condense the sound tokens of each item to 12; an item without sound has none."""
        sound = self.project(zero_padding(raw.audio, raw.audio_mask))
        x = (self.entry + self.entry_position.weight).expand(len(sound), -1, -1)
        for block in self.resampler:
            x = block.resample(x, sound, raw.audio_mask)
        heard = raw.audio_mask.any(1, keepdim=True).expand(-1, x.shape[1])
        return {"audio": x, "audio_mask": heard}

    def score(
        self, query: Float[Tensor, "query dim"], items: TokenBatch
    ) -> Float[Tensor, "query item"]:
        """Mean of the soft maximum over frames and the cosine with the mean frame."""
        query, tau = unit(query), self.logit_scale.exp()
        frames = unit(zero_padding(items.frames, items.frame_mask))
        logits = tau * torch.einsum("qd,ifd->qif", query, frames)
        lowest = torch.finfo(logits.dtype).min
        best = logits.masked_fill(~items.frame_mask, lowest).logsumexp(-1) / tau
        best = best.masked_fill(~items.frame_mask.any(1), 0)
        return (best + query @ self.summary(items).T) / 2
