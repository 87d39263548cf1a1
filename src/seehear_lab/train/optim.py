"""The optimiser, the learning rate schedule and gradient clipping."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from seehear.errors import UsageError
from seehear_lab.train.config import TrainConfig


def new_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW over all trainable parameters, in the groups of the config.

    Note: weight decay applies to every parameter of a group, norms and biases too, as in X-Pool.
    Raises: UsageError for a group that matches no parameter.
    """
    rest: list[nn.Parameter] = []
    members: list[list[nn.Parameter]] = [[] for _ in config.groups]
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups = zip(config.groups, members, strict=True)
            matching = (own for group, own in groups if group.name in name)
            next(matching, rest).append(parameter)
    for group, own in zip(config.groups, members, strict=True):
        if not own:
            raise UsageError(f"no parameter's name contains {group.name!r}; see train.groups")
    tables = [{"params": rest, "base_lr": config.lr, "weight_decay": config.weight_decay}]
    for group, own in zip(config.groups, members, strict=True):
        decay = config.weight_decay if group.weight_decay is None else group.weight_decay
        lr = config.lr if group.lr is None else group.lr
        tables.append({"params": own, "base_lr": lr, "weight_decay": decay})
    beta1, beta2 = config.betas
    return torch.optim.AdamW(
        [table for table in tables if table["params"]],
        lr=config.lr,
        betas=(beta1, beta2),
        eps=config.eps,
    )


def lr_factor(step: int, *, total: int, warmup: float) -> float:
    """Factor on the learning rate at a step (from 0): linear warm-up, then half a cosine to 0.

    Source: X-Pool's public code.
    """
    rising = round(total * warmup)
    if step < rising:
        return step / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(total - rising, 1)))


def set_lr(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set the learning rate of every group to `factor` times its base rate."""
    for group in optimizer.param_groups:
        group["lr"] = factor * group["base_lr"]


def clip_gradients(parameters: Iterable[nn.Parameter], norm: float) -> float:
    """Scale all gradients so that their global norm is at most `norm`; return the norm before."""
    return float(nn.utils.clip_grad_norm_(parameters, norm))
