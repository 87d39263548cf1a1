"""CLIP's two towers from a folder of weights: pictures and sentences -> one space."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor
from torch.nn import functional as F

from seehear.errors import ModelError

_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)
NEEDED = ("config.json", "model.safetensors", "tokenizer.json")


class ClipTowers(torch.nn.Module):
    """Any Hugging Face `CLIPModel` folder; the size of the space comes from its config.

    Source: CLIP (Radford et al., 2021).
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        from tokenizers import Tokenizer

        require(folder, NEEDED, "CLIP")
        from transformers import CLIPModel

        self.model: Any = CLIPModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True
        ).eval()
        self.side_px: int = self.model.config.vision_config.image_size
        self.dim: int = self.model.config.projection_dim
        self._context: int = self.model.config.text_config.max_position_embeddings
        self._tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(self._context)
        self._tokenizer.no_padding()

    @property
    def logit_scale(self) -> Tensor:
        """What multiplies cosines, as its logarithm."""
        return self.model.logit_scale

    def preprocess(
        self, frames: UInt8[np.ndarray, "frame height width 3"]
    ) -> Float[Tensor, "frame 3 side side"]:
        """Shorter side to the tower's size (bicubic, anti-aliased), centre crop, normalised."""
        pixels = torch.from_numpy(np.array(frames)).permute(0, 3, 1, 2).float()
        height, width = pixels.shape[-2:]
        scale = self.side_px / min(height, width)
        size = [max(self.side_px, int(height * scale)), max(self.side_px, int(width * scale))]
        if size != [height, width]:
            pixels = F.interpolate(
                pixels, size, mode="bicubic", antialias=True, align_corners=False
            )
            pixels = pixels.round().clamp(0, 255)
        top, left = ((length - self.side_px) // 2 for length in size)
        pixels = pixels[..., top : top + self.side_px, left : left + self.side_px] / 255
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (_MEAN, _STD))
        return (pixels - mean) / std

    def encode_pixels(
        self, pixels: Float[Tensor, "frame 3 side side"]
    ) -> Float[Tensor, "frame dim"]:
        """Projected class token of each picture, not normalised."""
        return self.model.get_image_features(pixel_values=pixels).pooler_output

    def encode_frames(
        self, frames: UInt8[np.ndarray, "frame height width 3"]
    ) -> Float32[np.ndarray, "frame dim"]:
        """Pictures of any size as stored tokens."""
        with torch.inference_mode():
            return self.encode_pixels(self.preprocess(frames)).numpy()

    def encode_texts(self, texts: Sequence[str]) -> Float32[np.ndarray, "text dim"]:
        """Projected end token of each sentence, not normalised; cut at the tower's context.

        Note: sentences go one by one without padding, which is exact and, for short ones, faster.
        """
        with torch.inference_mode():
            vectors = [
                self.model.get_text_features(
                    input_ids=torch.tensor([self._ids(text)])
                ).pooler_output
                for text in texts
            ]
        return torch.cat(vectors).numpy()

    def _ids(self, text: str) -> list[int]:
        ids = self._tokenizer.encode(text.lower().strip()).ids
        end = self.model.config.text_config.eos_token_id
        return ids if end == 2 or end in ids else [*ids[: self._context - 1], end]


def require(folder: Path, names: Sequence[str], what: str) -> None:
    """Raises: ModelError (exit code 3) when a folder of weights is absent or not whole."""
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ModelError(
            f"{folder} is no complete {what} folder: {', '.join(missing)} missing; it needs "
            f"{', '.join(names)} as published on the Hugging Face hub"
        )
