"""Strict renaming of the tensors of a checkpoint, and the result of a conversion."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from seehear.errors import ModelError, counted, listed

State = Mapping[str, Tensor]
KINDS = ("weight", "bias")


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A converted checkpoint: `build_model(name, **settings).load_state_dict(head)`.

    `clip` has the names of Hugging Face's CLIPModel, `ast` those of its ASTModel. `name` is empty
    for the checkpoint of a tower alone. A head with keys under `encoder.` needs the encoder of its
    model. `ignored` lists the keys that are not needed.
    """

    name: str
    settings: dict[str, Any]
    head: dict[str, Tensor]
    clip: dict[str, Tensor]
    ignored: tuple[str, ...]
    ast: dict[str, Tensor] = field(default_factory=dict)


def take(state: State, names: Mapping[str, str], *, what: str) -> dict[str, Tensor]:
    """Rename the tensors of `state` to float32 tensors; `names` must name every one of them.

    Raises: ModelError that lists the missing and the unused keys.
    """
    missing, unused = sorted(names.keys() - state.keys()), sorted(state.keys() - names.keys())
    if missing or unused:
        raise ModelError(
            f"this is not a checkpoint of {what}: {_listed(missing)} missing and "
            f"{_listed(unused)} unused; convert it as the model that it was trained as"
        )
    return {new: state[old].float() for old, new in names.items()}


def drop_keys(state: State, keys: Collection[str]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The state without the given keys, and those of them that it had."""
    rest = {key: value for key, value in state.items() if key not in keys}
    return rest, tuple(sorted(state.keys() - rest.keys()))


def select_prefix(state: State, prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with `prefix`, under the rest of their names."""
    return {key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)}


def drop_prefix(state: State, *prefixes: str) -> dict[str, Tensor]:
    """The tensors whose names start with none of the prefixes."""
    return {key: value for key, value in state.items() if not key.startswith(prefixes)}


def layer_names(
    state: State, names: Mapping[str, str], *, theirs: str, ours: str
) -> dict[str, str]:
    """Old name -> new name of the weights and biases of all layers in `state`."""
    return {
        f"{theirs}{layer}.{old}{kind}": f"{ours}{layer}.{new}{kind}"
        for layer in range(count_layers(state, theirs))
        for old, new in names.items()
        for kind in KINDS
    }


def count_layers(state: State, prefix: str) -> int:
    """Number of layers, whose names are `prefix` + number + a dot."""
    numbers = [key.removeprefix(prefix).split(".")[0] for key in state if key.startswith(prefix)]
    return 1 + max((int(number) for number in numbers if number.isdigit()), default=-1)


def _listed(keys: list[str]) -> str:
    return f"{counted(len(keys), 'key')} ({listed(keys)})" if keys else "no keys"
