"""AVMA: sight recalls a sound and weighs it against the real one (Lee et al., ECCV 2022)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from seehear.models.base import PRECOMPUTED, Encoder, RetrievalModel
from seehear.models.registry import register
from seehear.nn.memory import AudioVisualMemory, degree_of_match
from seehear.nn.pooling import masked_mean, unit
from seehear.nn.temporal import EPS, Positions, ResidualBlock, SelfAttention, init_like_bert
from seehear.nn.tokens import TokenBatch


@dataclass(frozen=True, kw_only=True)
class AVMAConfig:
    """Settings of AVMA's supplement; the fields marked * are our completions."""

    dim: int = 512  # * of frames and queries: CLIP's
    sound_dim: int = 768  # * of sound tokens: AST's
    hidden: int = 1024
    wide: int = 3072
    layers: int = 3  # of the visual context embedder and of the mismatch-aware one
    heads: int = 8  # * in the visual context embedder, where the table cannot be read
    slots: int = 500  # * the paper shows 10 to 1000 and that more saturate
    memory_temperature: float = 0.1
    projection: int = 512
    positions: int = 77  # * of frames


class FeedForward(nn.Module):
    """x + W_2 gelu(W_1 LN(x)): one of the two paths out of the visual context."""

    def __init__(self, dim: int, *, wide: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=EPS)
        self.widen, self.narrow = nn.Linear(dim, wide), nn.Linear(wide, dim)

    def forward(self, x: Float[Tensor, "*row dim"]) -> Float[Tensor, "*row dim"]:
        """The path."""
        return x + self.narrow(F.gelu(self.widen(self.norm(x))))


@register("avma", AVMAConfig)
class AVMA(RetrievalModel):
    """One vector per item from what is seen, what is heard and what sight alone lets expect.

    x = context(v);  h_v = FF_1(x);  a_v = by_sight(FF_2(x));  h_mem = W recall(a_v);
    h_a = mean of embedder(W' sound);  g = cos(mean a_v, by_sound(h_a)), 0 without sound;
    u = W'' embedder([CLS; h_v; g h_a; (1 - g) h_mem])_CLS;  s = cos(t, u).

    Source: AVMA, abstract and supplement; the flow from a public review of the paper.
    Differs: the sources leave open, and we completed: addressing by cosines, g as the cosine of
    both addresses (frames averaged), g and 1 - g as the weights of adjustment, the mean of the
    sound tokens, pre-norm blocks, and u brought into the space of CLIP's text on the side of the
    item. Numbers of the paper are not to be expected.
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
        self.context_last = SelfAttention(hidden, heads=heads)  # the two paths are what follows
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
        """g: how well sight and sound agree, from 0 to 1; 0 where one of them is missing."""
        return self.agree(items, self.expected(items), self.heard(items))

    def expected(self, items: TokenBatch) -> Float[Tensor, "item slot"]:
        """a_v of every item, its frames averaged."""
        return masked_mean(self.by_sight(self.watched(items)), items.frame_mask)

    def recalled(self, items: TokenBatch) -> Float[Tensor, "item frame hidden"]:
        """h_mem: the sound that each frame lets expect."""
        return self.imagine(self.memory.recall(self.by_sight(self.watched(items))))

    def embed(
        self, items: TokenBatch, match: Float[Tensor, " item"] | None = None
    ) -> Float[Tensor, "item dim"]:
        """u, for a degree of match of one's own if given; at 0 the actual sound does not matter."""
        watched, actual, first = self.watched(items), self.heard(items), items.frame_mask[:, :1]
        shares = self.by_sight(watched)
        if match is None:
            match = self.agree(items, masked_mean(shares, items.frame_mask), actual)
        g = match[:, None, None]
        expected = self.imagine(self.memory.recall(shares))
        seen = self.place_seen.place(self.semantic(watched))
        recalled = self.place_recalled.place((1 - g) * expected)
        heard = g * actual[:, None]
        fixed = self.place_fixed.place(torch.cat([torch.zeros_like(heard), heard], dim=1))
        mask = torch.cat([torch.ones_like(first).expand(-1, 2), *[items.frame_mask] * 2], dim=1)
        x = torch.cat([fixed, seen, recalled], dim=1)
        for block in self.join:
            x = block(x, mask)
        u = unit(self.out(x[:, 0]))
        return u.masked_fill(~items.frame_mask.any(1, keepdim=True), 0)

    def watched(self, items: TokenBatch) -> Float[Tensor, "item frame hidden"]:
        """x: frames in the light of each other, before they part into two paths."""
        x = self.place.place(self.look(items.frames.masked_fill(~items.frame_mask[..., None], 0)))
        for block in self.context:
            x = block(x, items.frame_mask)
        return self.context_last.attend(x, items.frame_mask)

    def by_sight(
        self, watched: Float[Tensor, "item frame hidden"]
    ) -> Float[Tensor, "item frame slot"]:
        """a_v of every frame."""
        return self.memory.by_sight(self.associative(watched))

    def agree(self, items: TokenBatch, expected: Tensor, heard: Tensor) -> Float[Tensor, " item"]:
        """cos(mean a_v, a_a) of the items that have both."""
        both = items.audio_mask.any(1) & items.frame_mask.any(1)
        return degree_of_match(expected, self.memory.by_sound(heard)).masked_fill(~both, 0)

    def heard(self, items: TokenBatch) -> Float[Tensor, "item hidden"]:
        """h_a; 0 without sound."""
        x = self.listen(items.audio.masked_fill(~items.audio_mask[..., None], 0))
        for block in self.sound:
            x = block(x, items.audio_mask)
        return masked_mean(x, items.audio_mask)
