"""TS2-Net: token shift and token selection over frames (Liu et al., ECCV 2022)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from seehear.encoders.clip_frames import ClipEncoder, FrameBatch, flatten_frames, run_layer
from seehear.models.base import PRECOMPUTED, Encoder, RetrievalModel
from seehear.models.registry import register
from seehear.nn.pooling import masked_softmax, unit, zero_padding
from seehear.nn.temporal import TemporalTransformer
from seehear.nn.token_selection import TokenSelection
from seehear.nn.token_shift import token_shift
from seehear.nn.tokens import TokenBatch

SHARPNESS = 4.0
SHIFTED_LAYERS = 2


@dataclass(frozen=True, kw_only=True)
class TS2NetConfig:
    """Settings of TS2-Net with CLIP ViT-B/32."""

    dim: int = 512
    patches: int = 49  # per frame, without the class token; 196 for ViT-B/16
    keep: int = 3
    samples: int = 500
    sigma: float = 0.05
    eval_mode: Literal["hard", "perturbed"] = "hard"
    full_gradient: bool = False  # of the selection; the public code computes a part of it
    layers: int = 4
    heads: int = 8
    positions: int = 77  # at least frames * (1 + keep): 128 for 32 frames


class ShiftingEncoder(ClipEncoder):
    """CLIP with token shift before the attention of its last two picture blocks.

    Source: TS2-Net, section 3.2; blocks 10 and 11 of 12 in its public code.
    """

    def encode_items(self, media: FrameBatch) -> TokenBatch:
        """All projected tokens as one sequence, frame after frame, each class token first."""
        x, mask = self.encode_patches(media)
        return self.make_batch(*flatten_frames(self.project(x), mask), media)

    def run_blocks(
        self, x: Float[Tensor, "item frame token width"], media: FrameBatch
    ) -> tuple[Float[Tensor, "item frame token width"], Bool[Tensor, "item frame"]]:
        """Run the blocks, shifting the input of attention but not the residual path."""
        shift = partial(token_shift, mask=media.frame_mask)
        for index, layer in enumerate(self.layers):
            is_shifted = index >= len(self.layers) - SHIFTED_LAYERS
            x = run_layer(layer, x, transform=shift if is_shifted else None)
        return x, media.frame_mask


@register("ts2net", TS2NetConfig)
class TS2Net(RetrievalModel):
    """Transformer over frames and selected patches; each query weighs the frames.

    v = every (1 + keep)-th of x + blocks(x + P),  x = [class; chosen patches] of frame after frame;
    s(t, v) = sum_f w_f c_f,  c_f = cos(t, v_f),  w = softmax_f(4 c / |c|).

    Source: TS2-Net, section 3, and its public code; the shift is in `ShiftingEncoder`.
    Differs: evaluation selects patches without noise (`eval_mode`); the mask follows the tokens
    frame by frame (the code repeats it end to end and masks the wrong tokens).
    """

    def __init__(self, config: TS2NetConfig, *, encoder: Encoder = PRECOMPUTED) -> None:
        super().__init__(encoder=encoder)
        self.patches = config.patches
        self.select = TokenSelection(
            config.dim,
            keep=config.keep,
            samples=config.samples,
            sigma=config.sigma,
            eval_mode=config.eval_mode,
            full_gradient=config.full_gradient,
        )
        self.temporal = TemporalTransformer(
            config.dim, layers=config.layers, heads=config.heads, positions=config.positions
        )

    def encode_items(self, media: Any) -> TokenBatch:
        """One token per frame, from the (1 + patches) tokens per frame of the encoder.

        Raises: ValueError unless the number of tokens is a multiple of 1 + patches.
        """
        items, per_frame = super().encode_items(media), 1 + self.patches
        if items.frames.shape[1] % per_frame:
            raise ValueError(
                f"expected a multiple of {per_frame} tokens per item, got {items.frames.shape[1]}; "
                f"give the class token and {self.patches} patches of each frame, or set `patches`"
            )
        mask = items.frame_mask[:, ::per_frame]
        chosen = self.select(items.frames.reshape(-1, per_frame, items.frames.shape[2]))
        frames = self.mix_over_time(chosen.unflatten(0, mask.shape), mask)
        return replace(items, frames=frames, frame_mask=mask)

    def mix_over_time(
        self, tokens: Float[Tensor, "item frame token dim"], mask: Bool[Tensor, "item frame"]
    ) -> Float[Tensor, "item frame dim"]:
        """Class tokens after attention over the selected tokens of all frames."""
        tokens = tokens.masked_fill(~mask[..., None, None], 0)
        return self.temporal(*flatten_frames(tokens, mask))[:, :: tokens.shape[2]]

    def score(
        self, query: Float[Tensor, "query dim"], items: TokenBatch
    ) -> Float[Tensor, "query item"]:
        """sum_f w_f c_f."""
        frames = zero_padding(items.frames, items.frame_mask)
        cosines = torch.einsum("qd,ifd->qif", unit(query), unit(frames))
        weights = masked_softmax(SHARPNESS * unit(cosines), items.frame_mask)
        return (weights * cosines).sum(-1)
