"""Small models with random weights and small batches for the tests of models."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from seehear.models import RetrievalModel, build_model, registry
from seehear.nn.tokens import TokenBatch

DIM, SOUND_DIM = 16, 12
SMALL: dict[str, dict[str, Any]] = {
    "avigate": {
        "dim": DIM,
        "sound_dim": SOUND_DIM,
        "sounds": 3,
        "gate_dim": 5,
        "layers": 2,
        "heads": 2,
        "positions": 9,
    },
    "avma": {
        "dim": DIM,
        "sound_dim": SOUND_DIM,
        "hidden": 8,
        "wide": 10,
        "layers": 2,
        "heads": 2,
        "slots": 5,
        "projection": 4,
        "positions": 9,
    },
    "centerclip": {"dim": DIM},
    "clip4clip.meanp": {"dim": DIM},
    "clip4clip.seqlstm": {"dim": DIM},
    "clip4clip.seqtransf": {"dim": DIM, "layers": 2, "heads": 2, "positions": 12},
    "clip4clip.tighttransf": {"dim": DIM, "layers": 2, "heads": 2, "positions": 12},
    "dstc": {"x": (DIM, 8, DIM), "y": (DIM, 9, DIM), "translator": (6,), "classes": 3},
    "dstc.query": {"x": (DIM, 8, DIM), "y": (DIM, 9, DIM), "translator": (6,), "classes": 3},
    "eclipse": {"dim": DIM},
    "tefal": {"dim": DIM, "sound_dim": SOUND_DIM},
    "tefal.xpool": {"dim": DIM, "sound_dim": SOUND_DIM, "heads": 4},
    "ts2net": {"dim": DIM, "patches": 2, "keep": 1, "layers": 1, "heads": 2, "positions": 18},
    "xclip": {"dim": DIM, "words": 5, "frames": 9, "layers": 1, "heads": 2, "positions": 9},
    "xpool": {"dim": DIM, "heads": 2},
    "xpool.attention": {"temperature": 0.1},
    "xpool.topk": {"k": 2},
}
TOKENS_PER_FRAME = {"ts2net": 3}  # of the encoder of a model; otherwise one
TOKENS_PER_QUERY = {"xclip": 4}  # otherwise a single vector


def product_models() -> tuple[str, ...]:
    """The models of `seehear`; the lab adds its own to the registry when it is imported."""
    entries = sorted(registry._ENTRIES.items())
    return tuple(key for key, entry in entries if entry.model.__module__.startswith("seehear."))


def small_model(name: str, *, seed: int = 0, **settings: Any) -> RetrievalModel:
    """A model with noise on its initial weights, in evaluation mode and double precision."""
    torch.manual_seed(seed)
    return add_noise(build_model(name, **(SMALL[name] | settings)).double()).eval()


@torch.no_grad()
def add_noise(module: nn.Module) -> Any:
    """Add noise to every weight: initial identities would hide a transposed matrix."""
    for parameter in module.parameters():
        parameter += 0.3 * torch.randn_like(parameter)
    return module


def small_batch(name: str = "", *, seed: int = 1) -> tuple[Tensor, TokenBatch]:
    """Four queries and five items: all frames, few, no sound, one frame, sound without frames."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    per_frame = TOKENS_PER_FRAME.get(name, 1)
    frames, sounds = torch.tensor([6, 4, 5, 1, 0]) * per_frame, torch.tensor([7, 3, 0, 1, 4])
    items = TokenBatch(
        frames=normal(5, 6 * per_frame, DIM),
        frame_mask=torch.arange(6 * per_frame) < frames[:, None],
        audio=normal(5, 7, SOUND_DIM),
        audio_mask=torch.arange(7) < sounds[:, None],
    )
    words = [TOKENS_PER_QUERY[name]] if name in TOKENS_PER_QUERY else []
    return normal(4, *words, DIM), items


def pick(items: TokenBatch, rows: Tensor | slice) -> TokenBatch:
    """Some items of a batch, in the given order."""
    return TokenBatch(**{name: values[rows] for name, values in vars(items).items()})


def silent(items: TokenBatch) -> TokenBatch:
    """The same items without sound."""
    return replace(items, audio_mask=torch.zeros_like(items.audio_mask))
