"""AVMA: a memory predicts sound from frames and blends it with the real sound.

Lee et al., ECCV 2022.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from seehear.models.base import PRECOMPUTED, Encoder, RetrievalModel
from seehear.models.registry import register
from seehear.nn.memory import AudioVisualMemory, degree_of_match
from seehear.nn.pooling import masked_mean, unit, zero_padding
from seehear.nn.temporal import EPS, Positions, ResidualBlock, SelfAttention, init_like_bert
from seehear.nn.tokens import TokenBatch


@dataclass(frozen=True, kw_only=True)
class AVMAConfig:
    """Settings of AVMA's supplement; fields marked * are our choice, the paper leaves them open."""

    dim: int = 512  # * of frames and queries: CLIP's
    sound_dim: int = 768  # * of sound tokens: AST's
    hidden: int = 1024
    wide: int = 3072
    layers: int = 3  # of the visual context embedder and of the mismatch-aware one
    heads: int = 8  # * of the visual context embedder; its entry in the table is illegible
    slots: int = 500  # * the paper tries 10 to 1000; more than that adds nothing
    memory_temperature: float = 0.1
    projection: int = 512
    positions: int = 77  # * of frames


class FeedForward(nn.Module):
    """Feed-forward layer, one of the two paths after the visual context."""

    def __init__(self, dim: int, *, wide: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=EPS)
        self.widen, self.narrow = nn.Linear(dim, wide), nn.Linear(wide, dim)

    def forward(self, x: Float[Tensor, "*row dim"]) -> Float[Tensor, "*row dim"]:
        """x + W_2 gelu(W_1 LN(x))."""
        return x + self.narrow(F.gelu(self.widen(self.norm(x))))


@register("avma", AVMAConfig)
class AVMA(RetrievalModel):
    """One vector per item from its frames, its sound, and the sound recalled from its frames.

    x = context(v);  h_v = FF_1(x);  a_v = by_sight(FF_2(x));  h_mem = W recall(a_v);
    h_a = mean of embedder(W' sound);  g = cos(mean a_v, by_sound(h_a)), 0 without sound;
    u = W'' embedder([CLS; h_v; g h_a; (1 - g) h_mem])_CLS;  s = cos(t, u).

    Source: AVMA, abstract and supplement; the order of steps from a public review of the paper.
    Differs: the sources do not specify these parts, which are our choice: addressing by cosines, g
    as the cosine of both addresses (frames averaged), g and 1 - g as the adjusting weights, the
    mean of the sound tokens, pre-norm blocks, and a projection of u into CLIP's text space. Do not
    expect the numbers of the paper.
    """

    def __init__(self, config: AVMAConfig, *, encoder: Encoder = PRECOMPUTED) -> None:
        super().__init__()
        hidden, wide, heads = config.hidden, config.wide, config.heads

        def blocks(count: int) -> nn.ModuleList:
            return nn.ModuleList(
                ResidualBlock(hidden, heads=heads, wide=wide) for _ in range(count)
            )

        self.look, self.listen = (nn.Linear(n, hidden) for n in (config.dim, config.sound_dim))
        self.context = blocks(config.layers - 1)
        self.context_last = SelfAttention(hidden, heads=heads)  # the two paths follow
        self.semantic, self.associative = (FeedForward(hidden, wide=wide) for _ in range(2))
        self.sound, self.join = blocks(1), blocks(config.layers)
        self.imagine, self.out = nn.Linear(hidden, hidden), nn.Linear(hidden, config.dim)
        self.fit = nn.Linear(hidden, config.projection)  # of the associative loss
        self.place, self.place_seen, self.place_recalled = (
            Positions(config.positions, hidden) for _ in range(3)
        )
        self.place_fixed = Positions(2, hidden)  # of CLS, whose vector it is, and of h_a
        self.apply(init_like_bert)
        self.memory = AudioVisualMemory(
            hidden, slots=config.slots, temperature=config.memory_temperature
        )
        self.encoder = encoder

    def summary(self, items: TokenBatch) -> Float[Tensor, "item dim"]:
        """u at unit length; 0 for an item without frames."""
        return self.embed(items)

    def match(self, items: TokenBatch) -> Float[Tensor, " item"]:
        """g: agreement of sight and sound, from 0 to 1; 0 if one of them is missing."""
        return self.agreement(items, self.mean_address(items), self.encode_sound(items))

    def mean_address(self, items: TokenBatch) -> Float[Tensor, "item slot"]:
        """a_v of each item, averaged over its frames."""
        addresses = self.frame_addresses(self.encode_frames(items))
        return masked_mean(addresses, items.frame_mask)

    def recall_sound(self, items: TokenBatch) -> Float[Tensor, "item frame hidden"]:
        """h_mem: the sound recalled from each frame."""
        addresses = self.frame_addresses(self.encode_frames(items))
        return self.imagine(self.memory.recall(addresses))

    def embed(
        self, items: TokenBatch, match: Float[Tensor, " item"] | None = None
    ) -> Float[Tensor, "item dim"]:
        """u, with `match` in place of g if given; at 0 the real sound has no effect."""
        x, sound, first = (
            self.encode_frames(items),
            self.encode_sound(items),
            items.frame_mask[:, :1],
        )
        addresses = self.frame_addresses(x)
        if match is None:
            match = self.agreement(items, masked_mean(addresses, items.frame_mask), sound)
        g = match[:, None, None]
        recalled = self.imagine(self.memory.recall(addresses))
        seen = self.place_seen.add_to(self.semantic(x))
        recalled = self.place_recalled.add_to((1 - g) * recalled)
        heard = g * sound[:, None]
        fixed = self.place_fixed.add_to(torch.cat([torch.zeros_like(heard), heard], dim=1))
        mask = torch.cat([torch.ones_like(first).expand(-1, 2), *[items.frame_mask] * 2], dim=1)
        x = torch.cat([fixed, seen, recalled], dim=1)
        for block in self.join:
            x = block(x, mask)
        u = unit(self.out(x[:, 0]))
        return u.masked_fill(~items.frame_mask.any(1, keepdim=True), 0)

    def encode_frames(self, items: TokenBatch) -> Float[Tensor, "item frame hidden"]:
        """x: frames after attending to each other, before the two paths."""
        x = self.place.add_to(self.look(zero_padding(items.frames, items.frame_mask)))
        for block in self.context:
            x = block(x, items.frame_mask)
        return self.context_last.attend(x, items.frame_mask)

    def frame_addresses(
        self, x: Float[Tensor, "item frame hidden"]
    ) -> Float[Tensor, "item frame slot"]:
        """a_v of each frame."""
        return self.memory.address_by_sight(self.associative(x))

    def agreement(
        self, items: TokenBatch, address: Tensor, sound: Tensor
    ) -> Float[Tensor, " item"]:
        """cos(mean a_v, a_a); 0 for an item that lacks frames or sound."""
        both = items.audio_mask.any(1) & items.frame_mask.any(1)
        degree = degree_of_match(address, self.memory.address_by_sound(sound))
        return degree.masked_fill(~both, 0)

    def encode_sound(self, items: TokenBatch) -> Float[Tensor, "item hidden"]:
        """h_a; 0 without sound."""
        x = self.listen(zero_padding(items.audio, items.audio_mask))
        for block in self.sound:
            x = block(x, items.audio_mask)
        return masked_mean(x, items.audio_mask)
