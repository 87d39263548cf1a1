"""CLIP4Clip: four ways to compare a text with the frames of a clip (Luo et al., 2021)."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from seehear.models.base import PRECOMPUTED, Encoder, RetrievalModel
from seehear.models.registry import register
from seehear.nn.pooling import masked_mean, unit
from seehear.nn.temporal import CrossTransformer, TemporalLSTM, TemporalTransformer, Unchanged
from seehear.nn.tokens import TokenBatch


@dataclass(frozen=True, kw_only=True)
class CLIP4ClipConfig:
    """Settings of CLIP4Clip with CLIP ViT-B/32."""

    dim: int = 512


@dataclass(frozen=True, kw_only=True)
class SeqTransfConfig(CLIP4ClipConfig):
    """Settings of the transformer over frames."""

    layers: int = 4
    heads: int = 8
    positions: int = 77


@dataclass(frozen=True, kw_only=True)
class TightTransfConfig(SeqTransfConfig):
    """Settings of the transformer over text and frames."""

    dropout: float = 0.1


class CLIP4Clip(RetrievalModel):
    """The mean of unit frames after a model of time; sound is not heard.

    v' = temporal(v);  u = mean_f(v'_f / |v'_f|) / |.|;  s(t, v) = cos(t, u).

    Source: CLIP4Clip (Luo et al., 2021) and its public code.
    Differs: the paper's score has the logit scale in it; here `logits` has.
    """

    def __init__(self, *, temporal: nn.Module, encoder: Encoder = PRECOMPUTED) -> None:
        super().__init__(encoder=encoder)
        self.temporal = temporal

    def summary(self, items: TokenBatch) -> Float[Tensor, "item dim"]:
        """u of every item; 0 for an item without frames."""
        frames = items.frames.masked_fill(~items.frame_mask[..., None], 0)
        frames = unit(self.temporal(frames, items.frame_mask))
        return unit(masked_mean(frames, items.frame_mask))


@register("clip4clip.meanp", CLIP4ClipConfig)
class MeanP(CLIP4Clip):
    """CLIP4Clip without a model of time and without parameters of its own.

    Source: CLIP4Clip, parameter-free type.
    """

    def __init__(self, config: CLIP4ClipConfig, *, encoder: Encoder = PRECOMPUTED) -> None:
        super().__init__(temporal=Unchanged(), encoder=encoder)


@register("clip4clip.seqlstm", CLIP4ClipConfig)
class SeqLSTM(CLIP4Clip):
    """CLIP4Clip with a one-way LSTM.  temporal(v) = v + LSTM(v).

    Source: CLIP4Clip, sequential type.
    """

    def __init__(self, config: CLIP4ClipConfig, *, encoder: Encoder = PRECOMPUTED) -> None:
        super().__init__(temporal=TemporalLSTM(config.dim), encoder=encoder)


@register("clip4clip.seqtransf", SeqTransfConfig)
class SeqTransf(CLIP4Clip):
    """CLIP4Clip with a transformer over frames.  temporal(v) = v + blocks(v + P).

    Source: CLIP4Clip, sequential type.
    Differs: starts from normal(0, 0.02) until blocks 0-3 and P are copied from a CLIP text tower.
    """

    def __init__(self, config: SeqTransfConfig, *, encoder: Encoder = PRECOMPUTED) -> None:
        temporal = TemporalTransformer(
            config.dim, layers=config.layers, heads=config.heads, positions=config.positions
        )
        super().__init__(temporal=temporal, encoder=encoder)


@register("clip4clip.tighttransf", TightTransfConfig)
class TightTransf(RetrievalModel):
    """One transformer reads the text and the frames of a pair together and names its score.

    s(t, v) = w . quick_gelu(W LN(x_0) + b) + c,  x = blocks([t; v_1 .. v_F] + P): no cosine.

    Source: CLIP4Clip, tight type.
    Differs: starts from normal(0, 0.02) until blocks 0-3 and P are copied from a CLIP text tower.
    Note: `score` runs the transformer once per pair; callers walk items in small chunks.
    """

    def __init__(self, config: TightTransfConfig, *, encoder: Encoder = PRECOMPUTED) -> None:
        super().__init__(encoder=encoder)
        self.cross = CrossTransformer(
            config.dim,
            layers=config.layers,
            heads=config.heads,
            positions=config.positions,
            dropout=config.dropout,
        )

    def score(
        self, query: Float[Tensor, "query dim"], items: TokenBatch
    ) -> Float[Tensor, "query item"]:
        """s of every pair."""
        frames = items.frames.masked_fill(~items.frame_mask[..., None], 0)
        return self.cross(query, frames, items.frame_mask)

    def logits(
        self, query: Float[Tensor, "query dim"], items: TokenBatch
    ) -> Float[Tensor, "query item"]:
        """The score itself: the loss of this type has no scale."""
        return self.score(query, items)
