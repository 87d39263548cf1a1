"""Blocks of AVIGATE: learned queries condense the sound, gates add it to the frames."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from seehear.nn.attention import CrossAttention
from seehear.nn.pooling import masked_mean
from seehear.nn.temporal import EPS, ResidualBlock, quick_gelu
from seehear.nn.tokens import TokenBatch


class ResamplerBlock(ResidualBlock):
    """Learned queries attend to each other, then to the sound; one norm serves both."""

    def __init__(self, dim: int, *, heads: int) -> None:
        super().__init__(dim, heads=heads)
        self.ln_3 = nn.LayerNorm(dim, eps=EPS)
        self.cross = CrossAttention(dim, heads=heads)

    def resample(
        self,
        x: Float[Tensor, "item entry dim"],
        sound: Float[Tensor, "item sound dim"],
        mask: Bool[Tensor, "item sound"],
    ) -> Float[Tensor, "item entry dim"]:
        """Learned queries after this block.

        x <- x + A(LN1 x);  x <- x + C(LN3 x, LN3 sound);  x <- x + MLP(LN2 x).
        """
        every = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        x = self.attend(x, every)
        return self.feed_forward(x + self.cross(self.ln_3(x), self.ln_3(sound), mask))


class Gate(nn.Module):
    """Gate of an item in (-1, 1): tanh(w . quick_gelu(W [mean of frames; mean of sound]))."""

    def __init__(self, dim: int, *, hidden: int) -> None:
        super().__init__()
        self.fc = nn.Linear(2 * dim, hidden, bias=False)
        self.proj = nn.Linear(hidden, 1, bias=False)

    def forward(self, means: Float[Tensor, "item both"]) -> Float[Tensor, "item 1"]:
        """The gate of each item."""
        return self.proj(quick_gelu(self.fc(means))).tanh()


class FusionBlock(ResidualBlock):
    """Frames attend to the sound through two gates, then to each other.

    x <- x + g_1 C(LN3 x, sound);  x <- x + g_2 FF(LN4 x);  x <- x + A(LN1 x);  x <- x + MLP(LN2 x).
    """

    def __init__(self, dim: int, *, heads: int, gate_dim: int) -> None:
        super().__init__(dim, heads=heads)
        self.ln_3, self.ln_4 = nn.LayerNorm(dim, eps=EPS), nn.LayerNorm(dim, eps=EPS)
        self.cross = CrossAttention(dim, heads=heads)
        self.cross_widen = nn.Linear(dim, 4 * dim, bias=False)
        self.cross_narrow = nn.Linear(4 * dim, dim, bias=False)
        self.gate_sound, self.gate_forward = (Gate(dim, hidden=gate_dim) for _ in range(2))

    def gates(
        self, x: Float[Tensor, "item frame dim"], items: TokenBatch
    ) -> tuple[Float[Tensor, "item 1"], Float[Tensor, "item 1"]]:
        """g_1 and g_2, both 0 for an item without sound."""
        means = [masked_mean(x, items.frame_mask), masked_mean(items.audio, items.audio_mask)]
        silent = ~items.audio_mask.any(1, keepdim=True)
        both = torch.cat(means, dim=-1)
        first, second = (gate(both) for gate in (self.gate_sound, self.gate_forward))
        return first.masked_fill(silent, 0), second.masked_fill(silent, 0)

    def fuse(
        self, x: Float[Tensor, "item frame dim"], items: TokenBatch
    ) -> Float[Tensor, "item frame dim"]:
        """Frames after this block; `items` holds the resampled sound."""
        first, second = self.gates(x, items)
        x = x + first[..., None] * self.cross(self.ln_3(x), items.audio, items.audio_mask)
        wide = quick_gelu(self.cross_widen(self.ln_4(x)))
        return self(x + second[..., None] * self.cross_narrow(wide), items.frame_mask)
