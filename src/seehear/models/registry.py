"""Registry of the models: `register` adds one under a name, `build_model` makes one by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from seehear.errors import suggest
from seehear.models.base import PRECOMPUTED, Encoder, RetrievalModel

ModelClass = TypeVar("ModelClass", bound=type[RetrievalModel])


@dataclass(frozen=True)
class Entry:
    """A registered model and the dataclass of its settings."""

    model: Callable[..., RetrievalModel]
    config: type[Any]


_ENTRIES: dict[str, Entry] = {}


def register(name: str, config: type[Any]) -> Callable[[ModelClass], ModelClass]:
    """Class decorator that registers a model under `name`, with the dataclass of its settings.

    Raises: ValueError if the name is taken.
    """

    def add(model: ModelClass) -> ModelClass:
        if name in _ENTRIES:
            raise ValueError(f"a model named {name!r} is registered already; choose another name")
        _ENTRIES[name] = Entry(model, config)
        return model

    return add


def list_models() -> tuple[str, ...]:
    """Names of all models, sorted."""
    return tuple(sorted(_ENTRIES))


def build_model(name: str, *, encoder: Encoder = PRECOMPUTED, **settings: Any) -> RetrievalModel:
    """Build an untrained model; settings that are not given have the values of its paper.

    Raises: ValueError for an unknown model or setting, or another type for an integer setting.
    """
    if name not in _ENTRIES:
        raise ValueError(f"no model named {name!r}{suggest(name, _ENTRIES)}")
    entry = _ENTRIES[name]
    known = {field.name: field.default for field in fields(entry.config)}
    for setting, value in settings.items():
        if setting not in known:
            raise ValueError(f"{name!r} has no setting {setting!r}{suggest(setting, known)}")
        if isinstance(known[setting], int) and not hasattr(value, "__index__"):
            raise ValueError(f"{setting!r} of {name!r} is {value!r}; expected an integer")
    return entry.model(entry.config(**settings), encoder=encoder)
