"""CLIP's towers for training on clips; a paper that changes the picture tower overrides `run`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from seehear.nn.tokens import TokenBatch


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameBatch:
    """Preprocessed pictures of a batch of items, padding last, and their sound tokens."""

    pixels: Float[Tensor, "item frame 3 side side"]
    frame_mask: Bool[Tensor, "item frame"]
    audio: Float[Tensor, "item sound sound_dim"]
    audio_mask: Bool[Tensor, "item sound"]


class ClipEncoder(nn.Module):
    """Both towers of a Hugging Face `CLIPModel`: token ids -> queries, pictures -> frame tokens.

    Any size of tower and any number of frames; sound tokens are handed on.
    """

    def __init__(self, clip: Any) -> None:
        super().__init__()
        self.clip = clip

    @property
    def layers(self) -> Any:
        """The blocks of the picture tower."""
        return self.clip.vision_model.encoder.layers

    def encode_query(self, ids: Int[Tensor, "query word"]) -> Float[Tensor, "query *token dim"]:
        """The projected end token of each sentence."""
        return self.clip.get_text_features(input_ids=ids).pooler_output

    def encode_items(self, media: FrameBatch) -> TokenBatch:
        """The projected class token of each frame."""
        x, mask = self.see(media)
        return self.batch(self.project(x[:, :, 0]), mask, media)

    def see(
        self, media: FrameBatch
    ) -> tuple[Float[Tensor, "item frame token width"], Bool[Tensor, "item frame"]]:
        """Every token of every frame after the last block, and the frames that are there."""
        pixels = media.pixels.masked_fill(~media.frame_mask[..., None, None, None], 0)
        tower = self.clip.vision_model
        x = tower.pre_layrnorm(tower.embeddings(pixels.flatten(0, 1)))
        return self.run(x.unflatten(0, pixels.shape[:2]), media)

    def run(
        self, x: Float[Tensor, "item frame token width"], media: FrameBatch
    ) -> tuple[Float[Tensor, "item frame token width"], Bool[Tensor, "item frame"]]:
        """The blocks of the picture tower, frame by frame."""
        for layer in self.layers:
            x = run_layer(layer, x)
        return x, media.frame_mask

    def project(self, x: Float[Tensor, "*row width"]) -> Float[Tensor, "*row dim"]:
        """Tokens of the tower in the space of the sentences."""
        return self.clip.visual_projection(self.clip.vision_model.post_layernorm(x))

    @staticmethod
    def batch(
        frames: Float[Tensor, "item token dim"], mask: Bool[Tensor, "item token"], media: FrameBatch
    ) -> TokenBatch:
        """Frame tokens beside the sound that came with the pictures."""
        return TokenBatch(
            frames=frames, frame_mask=mask, audio=media.audio, audio_mask=media.audio_mask
        )


Change = Callable[[Tensor], Tensor]


def run_layer(
    layer: Any, x: Float[Tensor, "item frame token width"], *, change: Change | None = None
) -> Float[Tensor, "item frame token width"]:
    """One block of CLIP on every frame; `change` sees what attention is about to see.

    x <- x + Attention(change(LN1(x)));  x <- x + MLP(LN2(x)).
    """
    normal = layer.layer_norm1(x)
    normal = change(normal) if change else normal
    attended: Tensor = layer.self_attn(normal.flatten(0, 1), None)[0]
    x = x + attended.unflatten(0, x.shape[:2])
    return x + layer.mlp(layer.layer_norm2(x))


def flat(
    tokens: Float[Tensor, "item frame token dim"], mask: Bool[Tensor, "item frame"]
) -> tuple[Float[Tensor, "item every dim"], Bool[Tensor, "item every"]]:
    """All tokens of a clip as one sequence, frame after frame."""
    return tokens.flatten(1, 2), torch.repeat_interleave(mask, tokens.shape[2], dim=1)
