"""CLIP as a trainable encoder of clips; models with another picture tower override `run_blocks`."""

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
    """Preprocessed frames of a batch of items, padding last, and their sound tokens."""

    pixels: Float[Tensor, "item frame 3 side side"]
    frame_mask: Bool[Tensor, "item frame"]
    audio: Float[Tensor, "item sound sound_dim"]
    audio_mask: Bool[Tensor, "item sound"]


class ClipEncoder(nn.Module):
    """Both towers of a Hugging Face `CLIPModel`: token ids -> queries, frames -> frame tokens.

    Accepts any size of tower and number of frames; sound tokens pass through unchanged.
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
        x, mask = self.encode_patches(media)
        return self.make_batch(self.project(x[:, :, 0]), mask, media)

    def encode_patches(
        self, media: FrameBatch
    ) -> tuple[Float[Tensor, "item frame token width"], Bool[Tensor, "item frame"]]:
        """All tokens of each frame after the last block, and the mask of the frames."""
        pixels = media.pixels.masked_fill(~media.frame_mask[..., None, None, None], 0)
        tower = self.clip.vision_model
        x = tower.pre_layrnorm(tower.embeddings(pixels.flatten(0, 1)))
        return self.run_blocks(x.unflatten(0, pixels.shape[:2]), media)

    def run_blocks(
        self, x: Float[Tensor, "item frame token width"], media: FrameBatch
    ) -> tuple[Float[Tensor, "item frame token width"], Bool[Tensor, "item frame"]]:
        """Run the blocks of the picture tower on each frame."""
        for layer in self.layers:
            x = run_layer(layer, x)
        return x, media.frame_mask

    def project(self, x: Float[Tensor, "*row width"]) -> Float[Tensor, "*row dim"]:
        """Project tokens of the picture tower into the space of the sentences."""
        return self.clip.visual_projection(self.clip.vision_model.post_layernorm(x))

    @staticmethod
    def make_batch(
        frames: Float[Tensor, "item token dim"], mask: Bool[Tensor, "item token"], media: FrameBatch
    ) -> TokenBatch:
        """Frame tokens together with the sound tokens of the media."""
        return TokenBatch(
            frames=frames, frame_mask=mask, audio=media.audio, audio_mask=media.audio_mask
        )


Transform = Callable[[Tensor], Tensor]


def run_layer(
    layer: Any, x: Float[Tensor, "item frame token width"], *, transform: Transform | None = None
) -> Float[Tensor, "item frame token width"]:
    """Run one block of CLIP on each frame; `transform` changes the input of its attention.

    x <- x + Attention(transform(LN1(x)));  x <- x + MLP(LN2(x)).
    """
    normal = layer.layer_norm1(x)
    normal = transform(normal) if transform else normal
    attended: Tensor = layer.self_attn(normal.flatten(0, 1), None)[0]
    x = x + attended.unflatten(0, x.shape[:2])
    return x + layer.mlp(layer.layer_norm2(x))


def flatten_frames(
    tokens: Float[Tensor, "item frame token dim"], mask: Bool[Tensor, "item frame"]
) -> tuple[Float[Tensor, "item every dim"], Bool[Tensor, "item every"]]:
    """Join the tokens of all frames of an item into one sequence, frame after frame."""
    return tokens.flatten(1, 2), torch.repeat_interleave(mask, tokens.shape[2], dim=1)
