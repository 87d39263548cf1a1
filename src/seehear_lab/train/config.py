"""Settings of a training run; the defaults are X-Pool's on MSR-VTT-9k, which TEFAL also uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class GroupConfig:
    """Optimiser settings of the parameters whose name contains `name`; None: as all others."""

    name: str
    lr: float | None = None
    weight_decay: float | None = None


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of the training loop."""

    batch_size: int = 32  # of all processes together
    epochs: int = 5
    steps: int = 0  # stop after so many optimiser steps; 0: after `epochs`
    lr: float = 3e-5
    weight_decay: float = 0.2
    betas: tuple[float, ...] = (0.9, 0.999)
    eps: float = 1e-6
    groups: tuple[GroupConfig, ...] = ()  # the first match applies
    warmup: float = 0.1  # share of all steps
    clip_norm: float = 1.0
    loss: Literal["infonce_sum", "infonce_mean", "camoe_dsl", "hinge", "avma"] = "infonce_mean"
    margin: float = 0.2  # of the losses "hinge" and "avma"
    association_temperature: float = 0.1  # of the loss "avma"
    logit_scale: float = 100.0  # initial factor on cosines
    precision: Literal["float32", "bf16"] = "float32"
    accumulate: int = 1  # batches before a step; each has only its own negatives
    chunk: int = 0  # pairs per pass through the towers (gradient caching); 0: the batch
    recompute: bool = False  # activation checkpointing of CLIP and AST
    score_rows: int = 0  # queries per block of the score, recomputed backward; 0: all at once
    evaluate_every: int = 0  # steps; 0: after every epoch
    save_every: int = 0  # steps; 0: after every epoch
    patience: int = 0  # evaluations without a gain before training stops; 0: never
    seed: int = 24
