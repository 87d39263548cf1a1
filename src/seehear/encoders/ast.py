"""Audio Spectrogram Transformer (AST) from a folder of weights: waveform -> patch tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from seehear.encoders.filterbank import SAMPLE_RATE_HZ, filter_bank
from seehear.encoders.folder import load_tower, require_files

NEEDED = ("config.json", "model.safetensors")


class AstTower(torch.nn.Module):
    """AST from any Hugging Face `ASTModel` folder.

    1024 x 128 filter bank -> patches of 16 x 16 every 10 -> 12 (frequency) x 101 (time) tokens,
    frequency first: token = f * 101 + t. Class and distillation token are not part of the grid.

    Source: AST (Gong et al., 2021); TEFAL, section 3.2, for dropping the first two tokens.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        require_files(folder, NEEDED, "AST")
        from transformers import ASTModel

        self.model: Any = load_tower(ASTModel, folder, "AST")
        self.grid = Grid(self.model.config)

    def encode_banks(
        self, banks: Float[Tensor, "sound row mel"]
    ) -> Float[Tensor, "sound token dim"]:
        """Patch tokens of normalised filter banks, after the final LayerNorm."""
        return self.model(input_values=banks).last_hidden_state[:, 2:]

    def encode_pooled(self, banks: Float[Tensor, "sound row mel"]) -> Float[Tensor, "sound 2 dim"]:
        """Class and distillation token of each filter bank, which summarise it."""
        return self.model(input_values=banks).last_hidden_state[:, :2]

    def encode_waveform(
        self, waveform: Float32[np.ndarray, " sample"]
    ) -> tuple[Float32[np.ndarray, "token dim"], Float[np.ndarray, " token"]]:
        """Patch tokens of a 16 kHz waveform, and the middle of each in seconds."""
        bank, shift = filter_bank(waveform)
        with torch.inference_mode():
            tokens = self.encode_banks(torch.from_numpy(bank[None]))[0].numpy()
        return tokens, self.grid.times_s(shift)


class Grid:
    """Layout of the patch tokens: `rows` of frequency by `columns` of time, frequency first."""

    def __init__(self, config: Any) -> None:
        self.rows = (config.num_mel_bins - config.patch_size) // config.frequency_stride + 1
        self.columns = (config.max_length - config.patch_size) // config.time_stride + 1
        self._stride, self._patch = config.time_stride, config.patch_size

    def times_s(self, shift: int) -> Float[np.ndarray, " token"]:
        """Middle of the stretch that each token covers; tokens of one column share their time."""
        middles = self._stride * np.arange(self.columns) + self._patch / 2
        return np.tile(middles * shift / SAMPLE_RATE_HZ, self.rows)
