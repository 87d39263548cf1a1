"""A small training problem: random pairs and a linear encoder; as a script, one run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count, repeat
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from seehear.errors import MediaError
from seehear.models import RetrievalModel, build_model
from seehear.nn.tokens import TokenBatch
from seehear_lab.datasets.batches import Batch
from seehear_lab.train.config import TrainConfig
from seehear_lab.train.distributed import process_group
from seehear_lab.train.loop import fit

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
    """Pairs that depend on their number, with noise by seed; one may be NaN, one unreadable."""

    def __init__(self, count: int = 40, *, bad: int = -1, unread: int = -1) -> None:
        rng = np.random.default_rng(0)
        self.text = rng.normal(size=(count, DIM)).astype(np.float32)
        self.bad, self.unread = bad, unread

    def __len__(self) -> int:
        return len(self.text)

    def batch(self, indices: Sequence[int], seeds: Sequence[int]) -> Batch:
        if self.unread in indices:
            raise MediaError(f"pair{self.unread} cannot be read")
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
    folder, name, (steps, dropout, *faults) = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    with process_group(torch.device("cpu")) as world:
        broken = dict(fault.split("=") for fault in faults if "=" in fault)
        pairs = ToyPairs(**{kind: int(index) for kind, index in broken.items()})
        config, metric_fn = toy_config(steps=int(steps)), None
        if "disagree" in faults:  # the first process sees a gain each time, the others never
            config = replace(config, evaluate_every=2, patience=2)
            metrics = count() if world.is_first else repeat(0)
            metric_fn = lambda model: float(next(metrics))  # noqa: E731
        model = toy_model(name, dropout=float(dropout))
        fit(
            model,
            pairs,
            config,
            folder,
            metric_fn=metric_fn,
            on_log=lambda row: print(row["step"], *({"loss", "metric"} & row.keys())),  # noqa: T201
            world=world,
        )
