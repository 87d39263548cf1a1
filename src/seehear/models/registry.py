"""Names of models -> models. A name is registered once; a wrong one gets a suggestion."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, TypeVar

from seehear.models.base import PRECOMPUTED, Encoder, RetrievalModel

ModelClass = TypeVar("ModelClass", bound=type[RetrievalModel])


@dataclass(frozen=True)
class Entry:
    """A model and the dataclass of its settings."""

    model: Callable[..., RetrievalModel]
    config: type[Any]


_ENTRIES: dict[str, Entry] = {}


def register(name: str, config: type[Any]) -> Callable[[ModelClass], ModelClass]:
    """Class decorator: make a model known under `name`, with the dataclass of its settings.

    Raises: ValueError if the name is taken.
    """

    def add(model: ModelClass) -> ModelClass:
        if name in _ENTRIES:
            raise ValueError(f"a model named {name!r} is registered already; choose another name")
        _ENTRIES[name] = Entry(model, config)
        return model

    return add


def list_models() -> tuple[str, ...]:
    """The names of all models, sorted."""
    return tuple(sorted(_ENTRIES))


def build_model(name: str, *, encoder: Encoder = PRECOMPUTED, **settings: Any) -> RetrievalModel:
    """A fresh model; settings that are not named have the values of its paper.

    Raises: ValueError if there is no such model, if it has no such setting, or takes whole numbers
    there and gets something else.
    """
    if name not in _ENTRIES:
        raise ValueError(f"no model named {name!r}{_known(name, list_models())}")
    entry = _ENTRIES[name]
    known = {field.name: field.default for field in fields(entry.config)}
    for setting, value in settings.items():
        if setting not in known:
            raise ValueError(f"{name!r} has no setting {setting!r}{_known(setting, known)}")
        if isinstance(known[setting], int) and not hasattr(value, "__index__"):
            raise ValueError(f"{setting!r} of {name!r} is a whole number, not {value!r}")
    return entry.model(entry.config(**settings), encoder=encoder)


def _known(wrong: str, names: Iterable[str]) -> str:
    names = list(names)
    near = get_close_matches(wrong, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ";"
    return f"{hint} Known: {', '.join(names)}"
