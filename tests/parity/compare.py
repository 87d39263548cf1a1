"""Helpers of the parity tests: weights from a file, the loss of the papers, comparison."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from seehear.nn.tokens import TokenBatch


def part(golden: Mapping[str, np.ndarray], prefix: str) -> dict[str, Tensor]:
    """Arrays whose keys start with `prefix`, as tensors under the rest of the key."""
    return {
        key.removeprefix(prefix): torch.from_numpy(value.copy())
        for key, value in golden.items()
        if key.startswith(prefix)
    }


def sight_only(frames: Tensor, mask: Tensor | None = None) -> TokenBatch:
    """Items with frames and no sound."""
    return TokenBatch(
        frames=frames,
        frame_mask=torch.ones(frames.shape[:2], dtype=torch.bool) if mask is None else mask > 0,
        audio=torch.zeros(len(frames), 0, 4),
        audio_mask=torch.zeros(len(frames), 0, dtype=torch.bool),
    )


def symmetric_loss(logits: Tensor) -> Tensor:
    """Mean of both cross entropies; text i belongs to item i, additional texts to none."""
    square = logits[: logits.shape[1]]
    target = torch.arange(len(square))
    return (F.cross_entropy(square, target) + F.cross_entropy(square.T, target)) / 2


def close(ours: Tensor, theirs: np.ndarray | Tensor, *, atol: float, rtol: float = 0.0) -> None:
    """Assert equal shapes and differences within the tolerance."""
    torch.testing.assert_close(ours.detach(), torch.as_tensor(theirs), atol=atol, rtol=rtol)
