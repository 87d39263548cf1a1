"""X-CLIP: words and sentence against frames and video (Ma et al., ACM MM 2022)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from seehear.encoders.clip_frames import ClipEncoder
from seehear.errors import counted
from seehear.models.base import PRECOMPUTED, Encoder
from seehear.models.clip4clip import CLIP4Clip
from seehear.models.registry import register
from seehear.nn.pooling import unit, zero_padding
from seehear.nn.temporal import TemporalTransformer
from seehear.nn.tokens import TokenBatch

POOLS = ("alone", "inner", "outer")


@dataclass(frozen=True, kw_only=True)
class XCLIPConfig:
    """Settings of X-CLIP on MSR-VTT with CLIP ViT-B/32."""

    dim: int = 512
    words: int = 32  # maximum; the learned matrices have this size
    frames: int = 12  # likewise
    temperature: float = 0.01
    layers: int = 4
    heads: int = 8
    positions: int = 77


class WordsEncoder(ClipEncoder):
    """CLIP that returns the sentence vector and its word vectors.

    Words after the end token are zeros, which X-CLIP ignores. The public code includes them; set
    `padding_words` for its checkpoints.
    """

    def __init__(self, clip: Any, *, padding_words: bool = False) -> None:
        super().__init__(clip)
        self.padding_words = padding_words

    def encode_query(self, ids: Int[Tensor, "query word"]) -> Float[Tensor, "query token dim"]:
        """[sentence; words] of each query: projected, not normalised."""
        text = self.clip.text_model(input_ids=ids)
        words = self.clip.text_projection(text.last_hidden_state)
        sentence = self.clip.text_projection(text.pooler_output)
        if not self.padding_words:
            end = ids.argmax(1, keepdim=True)  # CLIP's end token has the largest id
            after = torch.arange(ids.shape[1], device=ids.device) > end
            words = words.masked_fill(after[..., None], 0)
        return torch.cat([sentence[:, None], words], dim=1)


@register("xclip", XCLIPConfig)
class XCLIP(CLIP4Clip):
    """Mean of four similarities, each pooled by a softmax over its entries.

    s, w = sentence and words of the query; f = frames; V = mean of temporal(f); all unit vectors.
    a = s G V;  b = pool_w(w V);  c = pool_f(s f);  A = w L f;
    d = (pool_f(pool_w(A)) + pool_w(pool_f(A))) / 2;  pool(x) = sum(x * (softmax(x / tau) M)).
    G, L and the M, one for each pool, start as the identity.

    Source: X-CLIP, section 3.3, and its public code.
    Differs: zero words and padding frames are ignored (the code includes both).
    Note: `score` takes O(query * item * word * frame) memory; callers walk items in chunks.
    """

    def __init__(self, config: XCLIPConfig, *, encoder: Encoder = PRECOMPUTED) -> None:
        temporal = TemporalTransformer(
            config.dim, layers=config.layers, heads=config.heads, positions=config.positions
        )
        super().__init__(temporal=temporal, encoder=encoder)
        self.temperature = config.temperature
        self.whole = nn.Parameter(torch.eye(config.dim))  # G
        self.local = nn.Parameter(torch.eye(config.dim))  # L
        sizes = {"word": config.words, "frame": config.frames}
        pools = {f"{kind}_{pool}": size for kind, size in sizes.items() for pool in POOLS}
        self.mix = nn.ParameterDict({name: torch.eye(size) for name, size in pools.items()})

    def encode_items(self, media: Any) -> TokenBatch:
        """[V; frames] of each item, so that scoring needs no temporal model."""
        items = super().encode_items(media)
        video, has_frames = super().summary(items), items.frame_mask.any(1, keepdim=True)
        frames = torch.cat([video[:, None], items.frames], dim=1)
        mask = torch.cat([has_frames, items.frame_mask], dim=1)
        return replace(items, frames=frames, frame_mask=mask)

    def summary(self, items: TokenBatch) -> Float[Tensor, "item dim"]:
        """V of each item; 0 for an item without frames."""
        return items.frames[:, 0].masked_fill(~items.frame_mask[:, :1], 0)

    def score(
        self, query: Float[Tensor, "query token dim"], items: TokenBatch
    ) -> Float[Tensor, "query item"]:
        """(a + b + c + d) / 4; row 0 of a query is its sentence, the others are its words."""
        mask = items.frame_mask[:, 1:]
        frames = zero_padding(items.frames[:, 1:], mask)
        return self.terms(query, self.summary(items), frames, mask).mean(0)

    def terms(
        self,
        query: Float[Tensor, "query token dim"],
        video: Float[Tensor, "item dim"],
        frames: Float[Tensor, "item frame dim"],
        frame_mask: Bool[Tensor, "item frame"],
    ) -> Float[Tensor, "4 query item"]:
        """a, b, c and d of every pair."""
        tokens, frames = unit(query), unit(frames)
        sentence, words = tokens[:, 0], tokens[:, 1:]
        word_mask = (query[:, 1:] != 0).any(-1)[:, None]
        grid = torch.einsum("qwd,de,ife->qiwf", words, self.local, frames)
        by_frame = self.pool(grid.mT, word_mask[:, :, None], "word_inner")  # [query item frame]
        by_word = self.pool(grid, frame_mask[:, None], "frame_inner")  # [query item word]
        a = sentence @ self.whole @ video.T
        b = self.pool(torch.einsum("qwd,id->qiw", words, video), word_mask, "word_alone")
        c = self.pool(torch.einsum("qd,ifd->qif", sentence, frames), frame_mask, "frame_alone")
        by_frame = self.pool(by_frame, frame_mask, "frame_outer")
        d = (by_frame + self.pool(by_word, word_mask, "word_outer")) / 2
        return torch.stack([a, b, c, d])

    def pool(
        self, x: Float[Tensor, "*pair entry"], mask: Bool[Tensor, "*#pair entry"], name: str
    ) -> Float[Tensor, "*pair"]:
        """sum(x * (softmax(x / tau) M)) over the unmasked entries; x is 0 at the others.

        Raises: ValueError if there are more entries than M has rows.
        """
        count, mix = x.shape[-1], self.mix[name]
        if count > len(mix):
            kind = name.split("_")[0]
            raise ValueError(
                f"{counted(count, kind)}, more than the {len(mix)} of the matrices; "
                f"give fewer or build the model with {kind}s={count}"
            )
        lowest = torch.finfo(x.dtype).min
        weights = (x / self.temperature).masked_fill(~mask, lowest).softmax(-1)
        return (weights.masked_fill(~mask, 0) @ mix[:count, :count] * x).sum(-1)
