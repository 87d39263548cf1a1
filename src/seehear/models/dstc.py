"""DSTC: one space per modality, and class-preserving translators (Parida, Sharma, 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from seehear.models.base import PRECOMPUTED, Encoder, RetrievalModel
from seehear.models.registry import register
from seehear.nn.pooling import masked_mean, unit
from seehear.nn.tokens import TokenBatch


@dataclass(frozen=True, kw_only=True)
class DSTCConfig:
    """Sizes of the audio-video networks.

    Image-text (features of VGG19 and a sentence CNN): x (4096, 2048, 1024), y (300, 2048, 1024),
    translator (512,), classes 10 or 20.
    """

    x: tuple[int, ...] = (1024, 256, 256)  # audio
    y: tuple[int, ...] = (1024, 512, 256)  # video
    translator: tuple[int, ...] = (128, 64, 128)  # hidden
    classes: int = 23


@register("dstc", DSTCConfig)
class DSTC(RetrievalModel):
    """Queries of modality x, items of modality y; items are translated into the space of x.

    s(x, y) = cos(E_x(x), T_yx(E_y(y))): not symmetric. `reversed()` gives the model for queries y.
    C_x and C_y are for training only: they must recognise the class of a translated vector.

    Source: DSTC, eq. 7 with cosine; sizes of its supplement, section B.
    Differs: several frames of an item are averaged, as a feature here is one token; an item without
    frames scores 0. The sound tokens of an item are ignored: features of y are passed as frames,
    whatever their modality.
    Note: stored tokens are E_y(y); `summary` is their translation, so stage 1 gives exact scores.
    """

    def __init__(self, config: DSTCConfig, *, encoder: Encoder = PRECOMPUTED) -> None:
        super().__init__(encoder=encoder)
        x_dim, y_dim = config.x[-1], config.y[-1]
        self.encode_x, self.encode_y = mlp(config.x), mlp(config.y)
        self.classify_x, self.classify_y = (
            nn.Linear(x_dim, config.classes),
            nn.Linear(y_dim, config.classes),
        )
        self.to_y = mlp((x_dim, *config.translator, y_dim))
        self.to_x = mlp((y_dim, *config.translator, x_dim))

    def encode_query(self, query: Float[Tensor, "query x_dim"]) -> Float[Tensor, "query dim"]:
        """E_x(x)."""
        return self.encode_x(self.encoder.encode_query(query))

    def encode_items(self, media: TokenBatch) -> TokenBatch:
        """E_y(y) as one frame token per item."""
        raw = self.encoder.encode_items(media)
        native = self.encode_y(masked_mean(raw.frames, raw.frame_mask))
        return TokenBatch(
            frames=native[:, None],
            frame_mask=raw.frame_mask.any(1, keepdim=True),
            audio=raw.audio[:, :0],
            audio_mask=raw.audio_mask[:, :0],
        )

    def summary(self, items: TokenBatch) -> Float[Tensor, "item dim"]:
        """T_yx(E_y(y)) at unit length."""
        translated = self.to_x(masked_mean(items.frames, items.frame_mask))
        return unit(translated.masked_fill(~items.frame_mask, 0))

    def reversed(self) -> DSTC:
        """Model for queries of y and items of x, with the same networks (shared, not copied)."""
        other = type(self).__new__(type(self))
        nn.Module.__init__(other)
        other.encoder, other.logit_scale = self.encoder, self.logit_scale
        other.encode_x, other.encode_y = self.encode_y, self.encode_x
        other.classify_x, other.classify_y = self.classify_y, self.classify_x
        other.to_x, other.to_y = self.to_y, self.to_x
        return other.train(self.training)


@register("dstc.query", DSTCConfig)
class QueryTranslatingDSTC(DSTC):
    """DSTC that translates the query.  s(x, y) = cos(T_xy(E_x(x)), E_y(y)).

    Source: our variant of DSTC, eq. 7. One gallery then serves queries of both modalities.
    """

    def encode_query(self, query: Float[Tensor, "query x_dim"]) -> Float[Tensor, "query dim"]:
        """T_xy(E_x(x))."""
        return self.to_y(super().encode_query(query))

    def summary(self, items: TokenBatch) -> Float[Tensor, "item dim"]:
        """E_y(y) at unit length."""
        return unit(masked_mean(items.frames, items.frame_mask))


def mlp(sizes: tuple[int, ...]) -> nn.Sequential:
    """Make linear layers with BatchNorm and ReLU after each hidden layer."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()]
    return nn.Sequential(*layers[:-2])
