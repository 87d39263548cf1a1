"""Checkpoints of a training run: one folder per step, renamed when it is complete."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from seehear.errors import ModelError

PREFIX = "step-"


@dataclass(kw_only=True)
class Progress:
    """The state of a run next to weights and optimiser."""

    step: int = 0  # optimiser steps done
    best: float = -float("inf")  # best validation metric
    best_step: int = 0
    without_gain: int = 0  # evaluations since the best one


def save(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    rng: Mapping[str, Tensor],
) -> None:
    """Write `folder`/step-N and delete older checkpoints; a crash keeps the last complete one."""
    target = folder / f"{PREFIX}{progress.step:08d}"
    partial = folder / "partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_weights(model, partial / "model.safetensors")
    save_file(_optimizer_tensors(optimizer), partial / "optimizer.safetensors")
    save_file(dict(rng), partial / "rng.safetensors")
    (partial / "progress.json").write_text(json.dumps(asdict(progress)) + "\n", encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    for old in sorted(folder.glob(f"{PREFIX}*"))[:-1]:
        shutil.rmtree(old)


def latest(folder: Path) -> Path | None:
    """The newest checkpoint of a run, or None."""
    return max(folder.glob(f"{PREFIX}*"), default=None)


def load(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, *, rank: int = 0
) -> tuple[Progress, dict[str, Tensor]]:
    """Load a checkpoint into model and optimiser; return progress and the rank's random states.

    Raises: ModelError if the checkpoint is of another model.
    """
    load_weights(model, path / "model.safetensors")
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in load_file(path / "optimizer.safetensors").items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    progress = Progress(**json.loads((path / "progress.json").read_text(encoding="utf-8")))
    prefix = f"{rank}."
    states = load_file(path / "rng.safetensors").items()
    return progress, {key.removeprefix(prefix): v for key, v in states if key.startswith(prefix)}


def save_weights(model: nn.Module, path: Path) -> None:
    """Write the weights of a model; tensors that share memory are written separately."""
    state = {
        name: value.detach().clone().contiguous() for name, value in model.state_dict().items()
    }
    save_file(state, path, metadata={"format": "pt"})


def load_weights(model: nn.Module, path: Path) -> None:
    """Load weights of `save_weights`. Raises: ModelError if they are of another model."""
    try:
        model.load_state_dict(load_file(path))
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise ModelError(
            f"'{path}' has the weights of another model ({reason}); train into another folder"
        ) from error


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state: dict[int, dict[str, Any]] = optimizer.state_dict()["state"]
    return {
        f"{number}.{name}": torch.as_tensor(value).contiguous()
        for number, values in state.items()
        for name, value in values.items()
    }
