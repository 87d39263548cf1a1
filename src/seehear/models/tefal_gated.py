"""Our own TEFALs, of no paper: few sound tokens, and a weight of its own for each item's sound."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seehear.models.base import PRECOMPUTED, Encoder
from seehear.models.registry import register
from seehear.models.tefal import TEFALXPool, TEFALXPoolConfig
from seehear.nn.memory import AudioVisualMemory, degree_of_match
from seehear.nn.pooling import cosines, masked_mean, pool_columns, unit
from seehear.nn.tokens import TokenBatch


@dataclass(frozen=True, kw_only=True)
class GatedTEFALConfig(TEFALXPoolConfig):
    """As TEFAL on X-Pool's block; sound as 101 columns of AST's grid, or as 12 stretches."""

    sound_rows: int = 12  # frequency rows of AST's grid, averaged
    sound_tokens: int = 101


@dataclass(frozen=True, kw_only=True)
class MatchedTEFALConfig(GatedTEFALConfig):
    """With the memory of AVMA."""

    slots: int = 100
    memory_temperature: float = 0.1
    projection: int = 512


class WeighedTEFAL(TEFALXPool):
    """TEFAL whose sound counts by a weight g that knows the item, not the query.

    s = cos(E_T, E_{V|T} + g E_{A|T}).
    """

    def __init__(self, config: GatedTEFALConfig, *, encoder: Encoder = PRECOMPUTED) -> None:
        super().__init__(config, encoder=encoder)
        self.rows, self.sound_tokens = config.sound_rows, config.sound_tokens

    def encode_items(self, media: Any) -> TokenBatch:
        """Frames as they are; sound tokens pooled over frequency and time, then projected."""
        raw = self.encoder.encode_items(media)
        audio, mask = pool_columns(
            raw.audio, raw.audio_mask, rows=self.rows, count=self.sound_tokens
        )
        return replace(raw, audio=self.project(audio), audio_mask=mask)

    def weigh(self, items: TokenBatch) -> Float[Tensor, " item"]:
        """g of every item: without a weight of one's own, 1 as in TEFAL."""
        return items.audio.new_ones(len(items.audio))

    def score(
        self, query: Float[Tensor, "query dim"], items: TokenBatch
    ) -> Float[Tensor, "query item"]:
        """cos(E_T, E_{V|T} + g E_{A|T})."""
        seen = self.see(query, items.frames, items.frame_mask)
        heard = self.hear(query, items.audio, items.audio_mask)
        return cosines(query, seen + self.weigh(items)[:, None] * heard)


@register("tefal.gated", GatedTEFALConfig)
class GatedTEFAL(WeighedTEFAL):
    """A gate decides how much of the sound comes in; it starts shut: X-Pool exactly.

    g = tanh(w . [mean frame; mean sound] + c), of unit means;  w = c = 0 at the start.
    """

    def __init__(self, config: GatedTEFALConfig, *, encoder: Encoder = PRECOMPUTED) -> None:
        super().__init__(config, encoder=encoder)
        self.gate = nn.Linear(2 * config.dim, 1)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    def weigh(self, items: TokenBatch) -> Float[Tensor, " item"]:
        """The gate."""
        means = (masked_mean(items.frames, items.frame_mask), mean_sound(items))
        return self.gate(torch.cat([unit(x) for x in means], dim=-1))[:, 0].tanh()


@register("tefal.matched", MatchedTEFALConfig)
class MatchedTEFAL(WeighedTEFAL):
    """Sound counts as far as it fits the picture, by the memory of AVMA.

    g = cos(mean_f by_sight(W v_f), by_sound(mean sound));  to be trained with AVMA's associative
    loss, which takes this model too.
    """

    def __init__(self, config: MatchedTEFALConfig, *, encoder: Encoder = PRECOMPUTED) -> None:
        super().__init__(config, encoder=encoder)
        self.memory = AudioVisualMemory(
            config.dim, slots=config.slots, temperature=config.memory_temperature
        )
        self.look, self.imagine = (nn.Linear(config.dim, config.dim) for _ in range(2))
        self.fit = nn.Linear(config.dim, config.projection)

    def weigh(self, items: TokenBatch) -> Float[Tensor, " item"]:
        """The degree of match."""
        return self.match(items)

    def match(self, items: TokenBatch) -> Float[Tensor, " item"]:
        """g: how well sight and sound agree, from 0 to 1; 0 where one of them is missing."""
        both = items.audio_mask.any(1) & items.frame_mask.any(1)
        by_sound = self.memory.by_sound(self.heard(items))
        return degree_of_match(self.expected(items), by_sound).masked_fill(~both, 0)

    def expected(self, items: TokenBatch) -> Float[Tensor, "item slot"]:
        """What the frames look like, as shares of the slots."""
        frames = items.frames.masked_fill(~items.frame_mask[..., None], 0)
        return masked_mean(self.memory.by_sight(self.look(frames)), items.frame_mask)

    def heard(self, items: TokenBatch) -> Float[Tensor, "item dim"]:
        """The mean of the sound tokens."""
        return mean_sound(items)


def mean_sound(items: TokenBatch) -> Float[Tensor, "item dim"]:
    """Mean of an item's sound tokens; 0 without sound."""
    return masked_mean(items.audio, items.audio_mask)
