"""DSTC: each modality keeps its space; translators must keep the class (Parida, Sharma, 2021)."""

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
    """Sizes of the audio-video networks. Image-text, features of VGG19 and a sentence CNN:

    x (4096, 2048, 1024), y (300, 2048, 1024), translator (512,), classes 10 or 20.
    """

    x: tuple[int, ...] = (1024, 256, 256)  # audio
    y: tuple[int, ...] = (1024, 512, 256)  # video
    translator: tuple[int, ...] = (128, 64, 128)  # hidden
    classes: int = 23


@register("dstc", DSTCConfig)
class DSTC(RetrievalModel):
    """x asks, y answers, and y is translated into x's space before they are compared.

    s(x, y) = cos(E_x(x), T_yx(E_y(y))): not symmetric. `reversed()` is the model where y asks.
    C_x, C_y only train: a translated vector must keep its class in the other modality's classifier.

    Source: DSTC, eq. 7 with cosine; sizes of its supplement, section B.
    Differs: an item of several frames is their mean, as a feature here is one token; an item
    without frames has the score 0. The other modality of an item is not looked at: x and y are
    what one trained them with, e.g. a sound that asks for frames.
    Note: stored are E_y(y) tokens; `summary` is their translation, so stage 1 says all there is.
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
        """E_y(y) as one frame token of each item."""
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
        """The same networks with y asking and x answering; nothing is copied."""
        other = type(self).__new__(type(self))
        nn.Module.__init__(other)
        other.encoder, other.logit_scale = self.encoder, self.logit_scale
        other.encode_x, other.encode_y = self.encode_y, self.encode_x
        other.classify_x, other.classify_y = self.classify_y, self.classify_x
        other.to_x, other.to_y = self.to_y, self.to_x
        return other.train(self.training)


@register("dstc.query", DSTCConfig)
class QueryTranslatingDSTC(DSTC):
    """The query is translated instead: s(x, y) = cos(T_xy(E_x(x)), E_y(y)).

    Source: ours; the reverse of DSTC, eq. 7. One gallery then serves queries of both modalities.
    """

    def encode_query(self, query: Float[Tensor, "query x_dim"]) -> Float[Tensor, "query dim"]:
        """T_xy(E_x(x))."""
        return self.to_y(super().encode_query(query))

    def summary(self, items: TokenBatch) -> Float[Tensor, "item dim"]:
        """E_y(y) at unit length."""
        return unit(masked_mean(items.frames, items.frame_mask))


def mlp(sizes: tuple[int, ...]) -> nn.Sequential:
    """Linear layers with BatchNorm and ReLU after every hidden one, nothing after the last."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()]
    return nn.Sequential(*layers[:-2])
