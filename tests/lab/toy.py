"""A toy of training: random pairs that a linear encoder can learn; as a script, one real run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from seehear.models import RetrievalModel, build_model
from seehear.nn.tokens import TokenBatch
from seehear_lab.datasets.batches import Batch
from seehear_lab.train.config import TrainConfig
from seehear_lab.train.loop import fit
from seehear_lab.train.world import joined_world

DIM = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class ToyMedia:
    frames: Tensor
    audio: Tensor


class ToyEncoder(nn.Module):
    def __init__(self, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.text, self.sight, self.sound = (nn.Linear(DIM, DIM) for _ in range(3))
        self.drop = nn.Dropout(dropout)

    def encode_query(self, query: Tensor) -> Tensor:
        return self.text(self.drop(query))

    def encode_items(self, media: ToyMedia) -> TokenBatch:
        return TokenBatch(
            frames=self.sight(self.drop(media.frames)),
            frame_mask=torch.ones(media.frames.shape[:2], dtype=torch.bool),
            audio=self.sound(media.audio),
            audio_mask=torch.ones(media.audio.shape[:2], dtype=torch.bool),
        )


class ToyPairs:
    """Pair `index` is a function of its number, with a little noise by seed; one may be NaN."""

    def __init__(self, count: int = 40, *, bad: int = -1) -> None:
        rng = np.random.default_rng(0)
        self.text = rng.normal(size=(count, DIM)).astype(np.float32)
        self.bad = bad

    def __len__(self) -> int:
        return len(self.text)

    def batch(self, indices: Sequence[int], seeds: Sequence[int]) -> Batch:
        text = self.text[list(indices)]
        noise = [np.random.default_rng(seed).normal(size=(5, DIM)) for seed in seeds]
        tokens = (text[:, None] + 0.3 * np.stack(noise)).astype(np.float32)
        for row, index in enumerate(indices):
            if index == self.bad:
                tokens[row] = np.nan
        media = ToyMedia(frames=torch.tensor(tokens[:, :3]), audio=torch.tensor(tokens[:, 3:]))
        names = tuple(f"pair{index}" for index in indices)
        return Batch(query=torch.tensor(text), media=media, names=names)


def toy_model(name: str = "tefal.xpool", *, dropout: float = 0.1) -> RetrievalModel:
    torch.manual_seed(3)
    settings = {} if name == "xpool" else {"sound_dim": DIM}
    return build_model(name, encoder=ToyEncoder(dropout=dropout), dim=DIM, **settings)


def toy_config(**changes: object) -> TrainConfig:
    values = {"batch_size": 8, "steps": 300, "lr": 1e-3, "save_every": 7, "logit_scale": 10.0}
    return TrainConfig(**(values | changes))


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, name, steps, dropout = Path(sys.argv[1]), sys.argv[2], *map(float, sys.argv[3:])
    with joined_world(torch.device("cpu")) as world:
        model = toy_model(name, dropout=dropout)
        fit(model, ToyPairs(), toy_config(steps=int(steps)), folder, world=world)
