"""What all conversions share: strict renaming, and the result."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from seehear.errors import ModelError

State = Mapping[str, Tensor]
SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A checkpoint in our terms: `build_model(name, **settings).load_state_dict(head)`.

    `clip` has the names of Hugging Face's CLIPModel, `ast` of its ASTModel; `name` is empty where
    a checkpoint holds a tower alone. A head with keys under `encoder.` needs the encoder of its
    model; `ignored` lists what the checkpoint holds and nothing needs.
    """

    name: str
    settings: dict[str, Any]
    head: dict[str, Tensor]
    clip: dict[str, Tensor]
    ignored: tuple[str, ...]
    ast: dict[str, Tensor] = field(default_factory=dict)


def take(state: State, names: Mapping[str, str], *, what: str) -> dict[str, Tensor]:
    """The tensors of `state` under their new names, as float32; none more, none less.

    Raises: ModelError that lists the missing and the unused keys.
    """
    missing, unused = sorted(names.keys() - state.keys()), sorted(state.keys() - names.keys())
    if missing or unused:
        raise ModelError(
            f"this is not a checkpoint of {what}: {_listed(missing)} missing and "
            f"{_listed(unused)} unused; convert it under the model that it was trained as"
        )
    return {new: state[old].float() for old, new in names.items()}


def without(state: State, keys: Collection[str]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The state less the given keys, and those of them that it had."""
    kept = {key: value for key, value in state.items() if key not in keys}
    return kept, tuple(sorted(state.keys() - kept.keys()))


def part(state: State, prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with `prefix`, without it."""
    return {key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)}


def count_layers(state: State, prefix: str) -> int:
    """Number of layers named `prefix` + their number + a dot."""
    numbers = [key.removeprefix(prefix).split(".")[0] for key in state if key.startswith(prefix)]
    return 1 + max((int(number) for number in numbers if number.isdigit()), default=-1)


def _listed(keys: list[str]) -> str:
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    noun = "key" if len(keys) == 1 else "keys"
    return f"{len(keys)} {noun} ({', '.join(keys[:SHOWN])}{more})" if keys else "no keys"
