"""A batch of items as the models see it: token sequences of sight and sound, in torch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from seehear.types import Tokens


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenBatch:
    """Padded token sequences; a mask is True where there IS a token, and padding comes last.

    A silent item has an audio mask that is all False. Scores ignore what the padding holds, NaN
    included; gradients ask for finite numbers.
    """

    frames: Float[Tensor, "item frame dim"]
    frame_mask: Bool[Tensor, "item frame"]
    audio: Float[Tensor, "item sound sound_dim"]
    audio_mask: Bool[Tensor, "item sound"]

    @classmethod
    def from_tokens(cls, tokens: Tokens, *, device: torch.device | str = "cpu") -> TokenBatch:
        """The stored tokens as float32 on `device`, with zeros in the padding.

        Note: always a copy, so a stored array never changes under a model.
        """
        frame_mask = torch.tensor(tokens.frame_mask, device=device)
        audio_mask = torch.tensor(tokens.audio_mask, device=device)
        frames = torch.tensor(tokens.frames, dtype=torch.float32, device=device)
        audio = torch.tensor(tokens.audio, dtype=torch.float32, device=device)
        return cls(
            frames=frames.masked_fill(~frame_mask[..., None], 0),
            frame_mask=frame_mask,
            audio=audio.masked_fill(~audio_mask[..., None], 0),
            audio_mask=audio_mask,
        )
