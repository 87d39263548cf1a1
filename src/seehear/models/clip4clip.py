"""CLIP4Clip: four heads that compare a text with the frames of a clip (Luo et al., 2021)."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from seehear.models.base import PRECOMPUTED, Encoder, RetrievalModel
from seehear.models.registry import register
from seehear.nn.pooling import masked_mean, unit, zero_padding
from seehear.nn.temporal import CrossTransformer, TemporalLSTM, TemporalTransformer, Unchanged
from seehear.nn.tokens import TokenBatch


@dataclass(frozen=True, kw_only=True)
class CLIP4ClipConfig:
    """Settings of CLIP4Clip with CLIP ViT-B/32."""

    dim: int = 512


@dataclass(frozen=True, kw_only=True)
class SeqTransfConfig(CLIP4ClipConfig):
    """Settings of the transformer over frames (`seqtransf`)."""

    layers: int = 4
    heads: int = 8
    positions: int = 77


@dataclass(frozen=True, kw_only=True)
class TightTransfConfig(SeqTransfConfig):
    """Settings of the transformer over text and frames (`tighttransf`)."""

    dropout: float = 0.1


class CLIP4Clip(RetrievalModel):
    """Mean of unit frames after a temporal model; sound is not used.

    v' = temporal(v);  u = mean_f(v'_f / |v'_f|) / |.|;  s(t, v) = cos(t, u).

    Source: CLIP4Clip (Luo et al., 2021) and its public code.
    Differs: the score of the paper contains the logit scale; here only `logits` does.
    """

    def __init__(self, *, temporal: nn.Module, encoder: Encoder = PRECOMPUTED) -> None:
        super().__init__(encoder=encoder)
        self.temporal = temporal

    def summary(self, items: TokenBatch) -> Float[Tensor, "item dim"]:
        """u of each item; 0 for an item without frames."""
        frames = zero_padding(items.frames, items.frame_mask)
        frames = unit(self.temporal(frames, items.frame_mask))
        return unit(masked_mean(frames, items.frame_mask))


@register("clip4clip.meanp", CLIP4ClipConfig)
class MeanP(CLIP4Clip):
    """CLIP4Clip without a temporal model: no parameters above CLIP.

    Source: CLIP4Clip, parameter-free type.
    """

    def __init__(self, config: CLIP4ClipConfig, *, encoder: Encoder = PRECOMPUTED) -> None:
        super().__init__(temporal=Unchanged(), encoder=encoder)


@register("clip4clip.seqlstm", CLIP4ClipConfig)
class SeqLSTM(CLIP4Clip):
    """CLIP4Clip with a forward LSTM.  temporal(v) = v + LSTM(v).

    Source: CLIP4Clip, sequential type.
    """

    def __init__(self, config: CLIP4ClipConfig, *, encoder: Encoder = PRECOMPUTED) -> None:
        super().__init__(temporal=TemporalLSTM(config.dim), encoder=encoder)


@register("clip4clip.seqtransf", SeqTransfConfig)
class SeqTransf(CLIP4Clip):
    """CLIP4Clip with a transformer over frames.  temporal(v) = v + blocks(v + P).

    Source: CLIP4Clip, sequential type.
    Differs: initialised with normal(0, 0.02); training copies blocks 0-3 and P from CLIP's text.
    """

    def __init__(self, config: SeqTransfConfig, *, encoder: Encoder = PRECOMPUTED) -> None:
        temporal = TemporalTransformer(
            config.dim, layers=config.layers, heads=config.heads, positions=config.positions
        )
        super().__init__(temporal=temporal, encoder=encoder)


@register("clip4clip.tighttransf", TightTransfConfig)
class TightTransf(RetrievalModel):
    """CLIP4Clip with one transformer over the text and the frames of each pair.

    s(t, v) = w . quick_gelu(W LN(x_0) + b) + c,  x = blocks([t; v_1 .. v_F] + P): no cosine.

    Source: CLIP4Clip, tight type.
    Differs: initialised with normal(0, 0.02); training copies blocks 0-3 and P from CLIP's text.
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
        frames = zero_padding(items.frames, items.frame_mask)
        return self.cross(query, frames, items.frame_mask)

    def logits(
        self, query: Float[Tensor, "query dim"], items: TokenBatch
    ) -> Float[Tensor, "query item"]:
        """The score itself: the loss of this head has no scale."""
        return self.score(query, items)
