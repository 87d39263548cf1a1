"""CLIP from a folder of weights: pictures and sentences -> vectors of one space."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from seehear.encoders.folder import load_tower, require_files
from seehear.errors import ModelError, shorten

_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)
NEEDED = ("config.json", "model.safetensors", "tokenizer.json")


class ClipTowers(torch.nn.Module):
    """Picture and text tower of CLIP from any Hugging Face `CLIPModel` folder.

    Source: CLIP (Radford et al., 2021).
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        require_files(folder, NEEDED, "CLIP")
        from transformers import CLIPModel

        self.model: Any = load_tower(CLIPModel, folder, "CLIP")
        self.side_px: int = self.model.config.vision_config.image_size
        self.dim: int = self.model.config.projection_dim
        self.tokenizer = ClipTokenizer(folder, self.model.config.text_config)

    @property
    def logit_scale(self) -> Tensor:
        """Logarithm of the factor that multiplies cosines."""
        return self.model.logit_scale

    def encode_pixels(
        self, pixels: Float[Tensor, "frame 3 side side"]
    ) -> Float[Tensor, "frame dim"]:
        """Projected class token of each picture, not normalised."""
        return self.model.get_image_features(pixel_values=pixels).pooler_output

    def encode_frames(
        self, frames: UInt8[np.ndarray, "frame height width 3"]
    ) -> Float32[np.ndarray, "frame dim"]:
        """Frame tokens of pictures of any size, not normalised."""
        with torch.inference_mode():
            return self.encode_pixels(preprocess(frames, side_px=self.side_px)).numpy()

    def encode_texts(self, texts: Sequence[str]) -> Float32[np.ndarray, "text dim"]:
        """Projected end token of each sentence, not normalised; long sentences are truncated.

        Note: encodes one by one without padding, which is exact, and faster for short sentences.
        """
        with torch.inference_mode():
            vectors = [
                self.model.get_text_features(
                    input_ids=torch.from_numpy(self.tokenizer.ids(text))
                ).pooler_output
                for text in texts
            ]
        return torch.cat(vectors).numpy()


class ClipTokenizer:
    """Sentences -> token ids of CLIP, truncated to its context, always with the end token.

    Raises: ModelError if tokenizer.json is damaged.
    """

    def __init__(self, folder: Path, config: Any) -> None:
        from tokenizers import Tokenizer

        self._context: int = config.max_position_embeddings
        self._end: int = config.eos_token_id
        path = folder / "tokenizer.json"
        try:
            self._tokenizer: Any = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises nothing narrower
            raise ModelError(f"{path} is damaged ({shorten(error)}); fetch it again") from error
        self._tokenizer.enable_truncation(self._context)
        self._tokenizer.no_padding()

    def ids(self, text: str) -> Int64[np.ndarray, "1 token"]:
        """Token ids of one sentence, lower-cased, without padding."""
        ids = self._tokenizer.encode(text.lower().strip()).ids
        if self._end != 2 and self._end not in ids:  # 2: "the largest id" in old configs
            ids = [*ids[: self._context - 1], self._end]
        return np.array([ids], np.int64)


def preprocess(
    frames: UInt8[np.ndarray, "frame height width 3"], *, side_px: int
) -> Float[Tensor, "frame 3 side side"]:
    """Resize the shorter side to `side_px` (bicubic, anti-aliased), crop the centre, normalise."""
    pixels = torch.from_numpy(np.array(frames)).permute(0, 3, 1, 2).float()
    height, width = pixels.shape[-2:]
    shorter = min(height, width)
    size = [side_px * length // shorter for length in (height, width)]
    if size != [height, width]:
        pixels = F.interpolate(pixels, size, mode="bicubic", antialias=True, align_corners=False)
        pixels = pixels.round().clamp(0, 255)
    top, left = ((length - side_px) // 2 for length in size)
    pixels = pixels[..., top : top + side_px, left : left + side_px] / 255
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (_MEAN, _STD))
    return (pixels - mean) / std
