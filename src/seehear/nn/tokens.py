"""Batch of items for the models: token sequences of sight and sound, in torch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from seehear.nn.pooling import zero_padding
from seehear.types import Tokens


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenBatch:
    """Padded token sequences; a mask is True where there IS a token, and padding comes last.

    The audio mask of a silent item is all False. Scores ignore the values of padding, NaN included;
    gradients need finite values.
    """

    frames: Float[Tensor, "item frame dim"]
    frame_mask: Bool[Tensor, "item frame"]
    audio: Float[Tensor, "item sound sound_dim"]
    audio_mask: Bool[Tensor, "item sound"]

    @classmethod
    def from_tokens(cls, tokens: Tokens, *, device: torch.device | str = "cpu") -> TokenBatch:
        """Copy stored tokens to `device` as float32, with zeros in the padding.

        Note: shares no memory with the stored arrays.
        """
        frame_mask = torch.tensor(tokens.frame_mask, device=device)
        audio_mask = torch.tensor(tokens.audio_mask, device=device)
        frames = torch.tensor(tokens.frames, dtype=torch.float32, device=device)
        audio = torch.tensor(tokens.audio, dtype=torch.float32, device=device)
        return cls(
            frames=zero_padding(frames, frame_mask),
            frame_mask=frame_mask,
            audio=zero_padding(audio, audio_mask),
            audio_mask=audio_mask,
        )
