"""Stored tokens as torch batches, with shapes checked."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from seehear.nn.tokens import TokenBatch
from seehear.types import Tokens


def stored() -> Tokens:
    """Two items in half precision, the second silent, with NaN and infinity in the padding."""
    return Tokens(
        frames=np.array([[[1, 2], [3, 4]], [[5, 6], [np.nan, np.inf]]], dtype=np.float16),
        frame_mask=np.array([[True, True], [True, False]]),
        frame_times_s=np.zeros((2, 2)),
        audio=np.array([[[7, 8, 9]], [[np.nan, 1, 1]]], dtype=np.float16),
        audio_mask=np.array([[True], [False]]),
        audio_times_s=np.zeros((2, 1)),
    )


def test_batch_is_float32_with_zeros_in_the_padding() -> None:
    batch = TokenBatch.from_tokens(stored())
    assert batch.frames.dtype == batch.audio.dtype == torch.float32
    assert batch.frames.tolist() == [[[1, 2], [3, 4]], [[5, 6], [0, 0]]]
    assert batch.frame_mask.tolist() == [[True, True], [True, False]]
    assert batch.audio.tolist() == [[[7, 8, 9]], [[0, 0, 0]]]
    assert batch.audio_mask.tolist() == [[True], [False]]


def test_batch_shares_no_memory_with_the_store() -> None:
    tokens = stored()
    batch = TokenBatch.from_tokens(tokens)
    batch.frames.zero_()
    batch.frame_mask.zero_()
    assert tokens.frames[0, 0, 0] == 1
    assert tokens.frame_mask.any()


def test_mismatched_shapes_are_refused() -> None:
    batch = TokenBatch.from_tokens(stored())
    with pytest.raises(TypeCheckError):
        TokenBatch(
            frames=batch.frames,
            frame_mask=batch.frame_mask[:, :1],
            audio=batch.audio,
            audio_mask=batch.audio_mask,
        )
