"""Audio-visual correspondence: does the sound of an item belong to its pictures?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seehear.engine.scoring import layer_norm_no_affine
from seehear.errors import ModelError, shorten
from seehear.nn.tokens import TokenBatch
from seehear.types import Tokens

SETTINGS, WEIGHTS = "match.json", "match.safetensors"
_UNFIT = (ArithmeticError, LookupError, OSError, RuntimeError, TypeError, ValueError)


class Matcher:
    """AVMA's degree of match, with a learned threshold.

    It reads stored tokens and changes none, so it can be added to a library at any time.

    Source: AVMA, adjustment by degree of match.
    """

    def __init__(self, model: Any, threshold: float) -> None:
        self.model, self.threshold = model.eval(), threshold

    @classmethod
    def load(cls, folder: Path) -> Matcher | None:
        """The matcher in a folder of weights; None without one. Raises: ModelError if damaged."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from seehear.models import build_model

        if not (folder / SETTINGS).exists():
            return None
        try:
            saved = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
            model = build_model("avma", **saved["settings"])
            model.load_state_dict(load_file(folder / WEIGHTS))
            return cls(model, float(saved["threshold"]))
        except (*_UNFIT, SafetensorError) as error:
            raise ModelError(
                f"{SETTINGS} and {WEIGHTS} in {folder} are inconsistent ({shorten(error)}); "
                "delete both, or train them again with 'seehear-lab match LIBRARY --install'"
            ) from error

    def av_correspondence(self, tokens: Tokens) -> list[bool | None]:
        """True, False, or None for an item that lacks a modality."""
        both = np.any(tokens.frame_mask, axis=1) & np.any(tokens.audio_mask, axis=1)
        with torch.inference_mode():
            degrees = self.model.match(batch(tokens)).tolist()
        return [
            bool(degree >= self.threshold) if known else None
            for degree, known in zip(degrees, both, strict=True)
        ]


def batch(tokens: Tokens) -> TokenBatch:
    """Stored tokens at variance one, also those stored in int8."""
    stored = TokenBatch.from_tokens(tokens)
    frames, audio = (
        torch.from_numpy(layer_norm_no_affine(values.numpy().astype(np.float32), eps=1e-5))
        for values in (stored.frames, stored.audio)
    )
    return TokenBatch(
        frames=frames, frame_mask=stored.frame_mask, audio=audio, audio_mask=stored.audio_mask
    )
