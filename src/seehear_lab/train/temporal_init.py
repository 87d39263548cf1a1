"""Initialise a transformer over frames from CLIP's text tower, as in CLIP4Clip."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from seehear.nn.temporal import PositionedTransformer
from seehear_lab.convert.clip import temporal_from_clip
from seehear_lab.convert.keys import State, count_layers

TEXT_LAYERS = "text_model.encoder.layers."


def init_temporal(model: nn.Module, clip: State) -> bool:
    """Copy the first text layers and positions of a CLIP into every transformer over frames.

    `clip` has Hugging Face's names. Transformers of another size than the text tower are left
    unchanged. Returns True if one was initialised.

    Source: CLIP4Clip and its public code; TS2-Net and X-CLIP build on it.
    Differs: more positions than CLIP has (77) are interpolated from them.
    Note: needed to learn order; see digits-av, `order`, in LOG.md.
    """
    found = [part for part in model.modules() if isinstance(part, PositionedTransformer)]
    copied = [_copy_text_layers(part, clip) for part in found]
    return any(copied)


def _copy_text_layers(part: PositionedTransformer, clip: State) -> bool:
    layers = min(len(part.blocks), count_layers(clip, TEXT_LAYERS))
    start, own = temporal_from_clip(clip, layers=layers), part.state_dict()
    start["position.weight"] = resize_positions(
        start["position.weight"], part.position.num_embeddings
    )
    if any(value.shape != own[name].shape for name, value in start.items()):
        return False
    part.load_state_dict(own | start)
    return True


def resize_positions(
    positions: Float[Tensor, "place dim"], length: int
) -> Float[Tensor, "new_place dim"]:
    """The first `length` position embeddings, or all of them interpolated to more places."""
    if length <= len(positions):
        return positions[:length]
    with torch.no_grad():
        return F.interpolate(positions.T[None], size=length, mode="linear", align_corners=True)[0].T
