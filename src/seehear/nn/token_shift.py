"""Token shift: replace a few patches of each frame by those of the neighbouring frames."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

GRID = 7  # every (tokens // 7)-th token moves: two columns of ViT-B/32's 7 x 7 patches


def token_shift(
    tokens: Float[Tensor, "item frame token dim"], mask: Bool[Tensor, "item frame"]
) -> Float[Tensor, "item frame token dim"]:
    """Replace some tokens of each frame by those of the neighbouring frames.

    Tokens 1, 1 + s, .. come from the frame before, tokens 4, 4 + s, .. from the frame after;
    s = tokens // 7, counting the class token (0), which stays. At both ends, where there is no such
    frame, tokens stay too.

    Source: TS2-Net (Liu et al., ECCV 2022) and its public code.
    Differs: the last frame of a padded item keeps its tokens (the code takes those of the padding).
    Raises: ValueError if a frame has fewer than 7 tokens.
    """
    step = tokens.shape[2] // GRID
    if step < 1:
        raise ValueError(f"token shift needs {GRID} tokens per frame, not {tokens.shape[2]}")
    before = torch.cat([tokens[:, :1], tokens[:, :-1]], dim=1)
    after = torch.cat([tokens[:, 1:], tokens[:, -1:]], dim=1)
    has_after = torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], dim=1)
    after = torch.where(has_after[:, :, None, None], after, tokens)
    shifted = tokens.clone()
    shifted[:, :, 1::step] = before[:, :, 1::step]
    shifted[:, :, 4::step] = after[:, :, 4::step]
    return shifted
