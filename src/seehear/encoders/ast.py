"""AST (Audio Spectrogram Transformer) from a folder of weights: sound -> a grid of patch tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from seehear.encoders.clip import require
from seehear.encoders.filterbank import SAMPLE_RATE_HZ, filter_bank

NEEDED = ("config.json", "model.safetensors")


class AstTower(torch.nn.Module):
    """Any Hugging Face `ASTModel` folder; class and distillation token are left out.

    1024 x 128 filter bank -> patches of 16 x 16 every 10 -> 12 (frequency) x 101 (time) tokens,
    frequency first: token = f * 101 + t.

    Source: AST (Gong et al., 2021); TEFAL, section 3.2, for dropping the first two tokens.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        require(folder, NEEDED, "AST")
        from transformers import ASTModel

        self.model: Any = ASTModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True
        ).eval()
        config = self.model.config
        self.dim: int = config.hidden_size
        self.rows: int = config.max_length
        self.grid = (
            (config.num_mel_bins - config.patch_size) // config.frequency_stride + 1,
            (config.max_length - config.patch_size) // config.time_stride + 1,
        )
        self._stride: int = config.time_stride
        self._patch: int = config.patch_size

    def encode_banks(
        self, banks: Float[Tensor, "sound row mel"]
    ) -> Float[Tensor, "sound token dim"]:
        """Patch tokens after the final LayerNorm, of normalised filter banks."""
        return self.model(input_values=banks).last_hidden_state[:, 2:]

    def encode_waveform(
        self, waveform: Float32[np.ndarray, " sample"]
    ) -> tuple[Float32[np.ndarray, "token dim"], Float[np.ndarray, " token"]]:
        """Patch tokens of a waveform at 16 kHz, and the middle of each in seconds."""
        bank, shift = filter_bank(waveform)
        with torch.inference_mode():
            tokens = self.encode_banks(torch.from_numpy(bank[None, : self.rows]))[0].numpy()
        return tokens, self.token_times_s(shift)

    def token_times_s(self, shift: int) -> Float[np.ndarray, " token"]:
        """Middle of what each token covers; tokens of one column share their time."""
        rows = self._stride * np.arange(self.grid[1]) + self._patch / 2
        return np.tile(rows * shift / SAMPLE_RATE_HZ, self.grid[0])
