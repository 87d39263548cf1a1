"""The four fusions of sight and sound that TEFAL compares with addition (Table 8)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from seehear.models.base import PRECOMPUTED, Encoder
from seehear.models.registry import register
from seehear.nn.conditioning import TextConditionedPool
from seehear.nn.pooling import cosines, masked_mean
from seehear.nn.tokens import TokenBatch
from seehear_lab.ablations.tefal_modalities import ModalityConfig, ProjectedSound


@dataclass(frozen=True, kw_only=True)
class FusionConfig(ModalityConfig):
    """Settings of all four fusions, for CLIP ViT-B/32 and AST-base."""

    heads: int = 1


class Fusion(ProjectedSound):
    """TEFAL with another fusion.  s = cos(E_T, fuse(E_T, E_V, E_A)).

    E_T = query, E_V = frames, E_A = W AST(sound) + b; see(t, x) and hear(t, x) are TEFAL's blocks.
    e_A is the mean of the sound tokens; in recipes of A and D that is the mean of AST's class and
    distillation tokens.

    Source: TEFAL, Table 8; the paper does not define e_A for A, here it is that of D.
    Differs: an item without sound has a zero vector, or no token, in place of the sound.
    Note: `score` takes O(query * item * dim) memory; callers walk items in chunks.
    """

    def __init__(self, config: FusionConfig, *, encoder: Encoder = PRECOMPUTED) -> None:
        super().__init__(config, encoder=encoder)
        self.see = TextConditionedPool(config.dim, heads=config.heads)

    def fuse(
        self, query: Float[Tensor, "query dim"], items: TokenBatch
    ) -> Float[Tensor, "query item dim"]:
        """E of every pair; sight alone, unless a subclass overrides it."""
        return self.see(query, items.frames, items.frame_mask)

    def score(
        self, query: Float[Tensor, "query dim"], items: TokenBatch
    ) -> Float[Tensor, "query item"]:
        """cos(E_T, E)."""
        return cosines(query, self.fuse(query, items))


@register("tefal.late", FusionConfig)
class Late(Fusion):
    """A: sound is added without conditioning on the text.  E = see(E_T, E_V) + e_A."""

    def fuse(
        self, query: Float[Tensor, "query dim"], items: TokenBatch
    ) -> Float[Tensor, "query item dim"]:
        """see(E_T, E_V) + e_A."""
        return super().fuse(query, items) + masked_mean(items.audio, items.audio_mask)


class TwoBlocks(Fusion):
    """Base of B and C: one block for sight and one for sound."""

    def __init__(self, config: FusionConfig, *, encoder: Encoder = PRECOMPUTED) -> None:
        super().__init__(config, encoder=encoder)
        self.hear = TextConditionedPool(config.dim, heads=config.heads)

    def pooled(
        self, query: Float[Tensor, "query dim"], items: TokenBatch
    ) -> Float[Tensor, "query item 2 dim"]:
        """E_{V|T} and E_{A|T} of every pair."""
        seen = self.see(query, items.frames, items.frame_mask)
        return torch.stack([seen, self.hear(query, items.audio, items.audio_mask)], dim=2)


@register("tefal.concat", FusionConfig)
class Concat(TwoBlocks):
    """B: a linear layer over both.  E = W [see(E_T, E_V); hear(E_T, E_A)] + b.

    W is initialised as [I I], which is addition.
    """

    def __init__(self, config: FusionConfig, *, encoder: Encoder = PRECOMPUTED) -> None:
        super().__init__(config, encoder=encoder)
        self.join = nn.Linear(2 * config.dim, config.dim)
        self.join.weight.data.copy_(torch.eye(config.dim).repeat(1, 2))
        nn.init.zeros_(self.join.bias)

    def fuse(
        self, query: Float[Tensor, "query dim"], items: TokenBatch
    ) -> Float[Tensor, "query item dim"]:
        """W [E_{V|T}; E_{A|T}] + b."""
        return self.join(self.pooled(query, items).flatten(2))


@register("tefal.cross", FusionConfig)
class Cross(TwoBlocks):
    """C: a third block attends to both.  E = join(E_T, {see(E_T, E_V), hear(E_T, E_A)})."""

    def __init__(self, config: FusionConfig, *, encoder: Encoder = PRECOMPUTED) -> None:
        super().__init__(config, encoder=encoder)
        self.join = TextConditionedPool(config.dim, heads=config.heads)

    def fuse(
        self, query: Float[Tensor, "query dim"], items: TokenBatch
    ) -> Float[Tensor, "query item dim"]:
        """join over two tokens, which differ from query to query."""
        mask = torch.stack([items.frame_mask.any(1), items.audio_mask.any(1)], dim=1)
        each = torch.vmap(self.join, in_dims=(0, 0, None))
        return each(query[:, None], self.pooled(query, items), mask)[:, 0]


@register("tefal.stack", FusionConfig)
class Stack(Fusion):
    """D: the sound is an additional frame.  E = see(E_T, {v_1 .. v_F, e_A})."""

    def fuse(
        self, query: Float[Tensor, "query dim"], items: TokenBatch
    ) -> Float[Tensor, "query item dim"]:
        """see over F + 1 tokens."""
        sound = masked_mean(items.audio, items.audio_mask)
        has_sound: Bool[Tensor, "item 1"] = items.audio_mask.any(1, keepdim=True)
        tokens = torch.cat([items.frames, sound[:, None]], dim=1)
        return self.see(query, tokens, torch.cat([items.frame_mask, has_sound], dim=1))
