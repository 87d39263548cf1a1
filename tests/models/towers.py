"""Tiny CLIP models and random clips for models that change the picture tower."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

from models.samples import DIM, SOUND_DIM, add_noise
from seehear.encoders.clip_frames import FrameBatch

SIDE, PATCHES, WIDTH, WORDS = 16, 16, 24, 6


def tiny_clip(*, layers: int = 3, seed: int = 0) -> Any:
    """A CLIP for pictures of 16 x 16 in 16 patches and sentences of 6 words, with noisy weights."""
    torch.manual_seed(seed)
    tower = {"hidden_size": WIDTH, "intermediate_size": 48, "num_hidden_layers": layers}
    tower |= {"num_attention_heads": 2, "hidden_act": "quick_gelu"}
    ids = {"vocab_size": 30, "bos_token_id": 28, "eos_token_id": 29, "pad_token_id": 0}
    config = CLIPConfig(
        text_config=tower | ids | {"max_position_embeddings": WORDS},
        vision_config=tower | {"image_size": SIDE, "patch_size": 4},
        projection_dim=DIM,
    )
    return add_noise(CLIPModel(config)).double().eval()


def small_clips(*, frames: int = 4, seed: int = 1) -> FrameBatch:
    """Three items: all frames, half of them (noise in the padding), one frame without sound."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return FrameBatch(
        pixels=normal(3, frames, 3, SIDE, SIDE),
        frame_mask=torch.arange(frames) < torch.tensor([frames, frames // 2, 1])[:, None],
        audio=normal(3, frames, SOUND_DIM),
        audio_mask=torch.arange(frames) < torch.tensor([frames, frames // 2, 0])[:, None],
    )


def sentences() -> Tensor:
    """Ids of three sentences of different lengths."""
    return torch.tensor([[28, 4, 5, 6, 7, 29], [28, 4, 29, 0, 0, 0], [28, 9, 8, 29, 0, 0]])


def pick_clips(clips: FrameBatch, rows: slice, *, frames: int) -> FrameBatch:
    """Some items, truncated to a number of frames."""
    return FrameBatch(**{name: values[rows, :frames] for name, values in vars(clips).items()})
