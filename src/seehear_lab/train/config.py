"""What a training run may set; the defaults are X-Pool's on MSR-VTT-9k, which TEFAL takes over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class GroupConfig:
    """Parameters whose name contains `name`, and what they do otherwise than the rest."""

    name: str
    lr: float | None = None
    weight_decay: float | None = None


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of the loop. `batch_size` counts all processes together."""

    batch_size: int = 32
    epochs: int = 5
    steps: int = 0  # stop after so many optimiser steps; 0: `epochs` decides
    lr: float = 3e-5
    weight_decay: float = 0.2
    betas: tuple[float, ...] = (0.9, 0.999)
    eps: float = 1e-6
    groups: tuple[GroupConfig, ...] = ()  # the first that fits a name decides
    warmup: float = 0.1  # share of all steps
    clip_norm: float = 1.0
    loss: Literal["infonce_sum", "infonce_mean", "camoe_dsl", "hinge", "avma"] = "infonce_mean"
    margin: float = 0.2  # of the losses "hinge" and "avma"
    association_temperature: float = 0.1  # of the loss "avma"
    logit_scale: float = 100.0  # what multiplies cosines at the start
    precision: Literal["float32", "bf16"] = "float32"
    accumulate: int = 1  # batches before a step; each has only its own negatives
    chunk: int = 0  # pairs a pass through the towers (gradient caching); 0: the whole batch
    recompute: bool = False  # towers keep no activations and run again backward, for less memory
    score_rows: int = 0  # queries a block of the score, re-computed backward; 0: all at once
    evaluate_every: int = 0  # steps; 0: after every epoch
    save_every: int = 0  # steps; 0: after every epoch
    patience: int = 0  # evaluations without a gain before an early stop; 0: never
    seed: int = 24
