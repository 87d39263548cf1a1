"""The state of a run on disk: a folder a step, whole or not there."""

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
    """Where a run is: what, beside weights and optimiser, decides how it goes on."""

    step: int = 0  # optimiser steps done
    best: float = -float("inf")  # of the validation figure
    best_step: int = 0
    without_gain: int = 0  # evaluations since the best one


def save(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    rng: Mapping[str, Tensor],
) -> None:
    """Write `folder`/step-N and drop the older ones; a crash leaves the last one whole."""
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
    """The newest checkpoint of a run, if it has one."""
    return max(folder.glob(f"{PREFIX}*"), default=None)


def load(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, *, rank: int = 0
) -> tuple[Progress, dict[str, Tensor]]:
    """Put a checkpoint into model and optimiser; its progress, and the random states of a process.

    Raises: ModelError if it does not fit the model.
    """
    load_weights(model, path / "model.safetensors")
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in load_file(path / "optimizer.safetensors").items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    progress = Progress(**json.loads((path / "progress.json").read_text(encoding="utf-8")))
    mine = f"{rank}."
    states = load_file(path / "rng.safetensors").items()
    return progress, {key.removeprefix(mine): v for key, v in states if key.startswith(mine)}


def save_weights(model: nn.Module, path: Path) -> None:
    """The weights of a model, tensors that share memory written once each."""
    state = {
        name: value.detach().clone().contiguous() for name, value in model.state_dict().items()
    }
    save_file(state, path, metadata={"format": "pt"})


def load_weights(model: nn.Module, path: Path) -> None:
    """Weights written by `save_weights`. Raises: ModelError if they do not fit."""
    try:
        model.load_state_dict(load_file(path))
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise ModelError(
            f"'{path}' is of another model ({reason}); train into another folder"
        ) from error


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state: dict[int, dict[str, Any]] = optimizer.state_dict()["state"]
    return {
        f"{number}.{name}": torch.as_tensor(value).contiguous()
        for number, values in state.items()
        for name, value in values.items()
    }
