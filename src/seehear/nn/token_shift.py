"""Token shift: a few patches of each frame are swapped for those of its neighbours in time."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

GRID = 7  # every (tokens // 7)-th token moves: two columns of ViT-B/32's 7 x 7 patches


def token_shift(
    tokens: Float[Tensor, "item frame token dim"], mask: Bool[Tensor, "item frame"]
) -> Float[Tensor, "item frame token dim"]:
    """Whole tokens from the frame before at 1, 1 + s, .. and from the one after at 4, 4 + s, ..

    s = tokens // 7, the class token counted; the class token (0) stays, and so does what would
    come from beyond the first or the last frame.

    Source: TS2-Net (Liu et al., ECCV 2022) and its public code.
    Differs: the last frame of a padded item keeps its own (the code takes the padding's).
    Raises: ValueError if a frame has fewer than 7 tokens.
    """
    step = tokens.shape[2] // GRID
    if step < 1:
        raise ValueError(f"token shift needs {GRID} tokens in a frame, not {tokens.shape[2]}")
    before = torch.cat([tokens[:, :1], tokens[:, :-1]], dim=1)
    after = torch.cat([tokens[:, 1:], tokens[:, -1:]], dim=1)
    has_after = torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], dim=1)
    after = torch.where(has_after[:, :, None, None], after, tokens)
    shifted = tokens.clone()
    shifted[:, :, 1::step] = before[:, :, 1::step]
    shifted[:, :, 4::step] = after[:, :, 4::step]
    return shifted
