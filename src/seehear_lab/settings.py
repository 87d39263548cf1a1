"""TOML tables -> frozen dataclasses: unknown keys are refused with the nearest known name."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from seehear.errors import UsageError

Settings = TypeVar("Settings")


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as plain values.

    Raises: UsageError if it is not there or no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"'{path}' cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"'{path}' is no TOML: {error}") from error


def build(kind: type[Settings], table: Mapping[str, Any], *, where: str) -> Settings:
    """A dataclass from a table; what the table does not say keeps its default.

    Raises: UsageError, naming `where`, for an unknown or missing key or a value of another type.
    """
    hints = get_type_hints(kind)
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for key in table:
        if key not in known:
            raise UsageError(f"{where} has no setting {key!r}{nearest(key, known)}")
    for field in fields(kind):  # type: ignore[arg-type]
        is_needed = field.default is MISSING and field.default_factory is MISSING
        if is_needed and field.name not in table:
            raise UsageError(f"{where} lacks the setting {field.name!r}")
    values = {key: _value(hints[key], value, f"{where}.{key}") for key, value in table.items()}
    return kind(**values)


def nearest(wrong: str, known: Iterable[str]) -> str:
    """The end of a sentence about a wrong name: what was meant perhaps, and what there is."""
    names = sorted(known)
    near = get_close_matches(wrong, names, n=1)
    return (f"; did you mean {near[0]!r}?" if near else ";") + f" Known: {', '.join(names)}"


def with_changes(table: Mapping[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """A table with `a.b=value` applied; values are written as in TOML, bare words are text.

    Raises: UsageError for a change without '='.
    """
    changed: dict[str, Any] = {key: _copied(value) for key, value in table.items()}
    for change in changes:
        path, equals, text = change.partition("=")
        if not equals or not path:
            raise UsageError(f"{change!r} is no change; write it as train.batch_size=12")
        *parents, last = path.strip().split(".")
        place = changed
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise UsageError(f"{change!r}: {parent!r} is no table")
        place[last] = _parsed(text.strip())
    return changed


def _copied(value: Any) -> Any:
    return {k: _copied(v) for k, v in value.items()} if isinstance(value, dict) else value


def _parsed(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _value(hint: Any, value: Any, where: str) -> Any:
    origin = get_origin(hint)
    if is_dataclass(hint) and isinstance(hint, type):
        return build(hint, _of(dict, value, where), where=where)
    if origin is tuple:
        inner = get_args(hint)[0]
        return tuple(_value(inner, each, where) for each in _of(list, value, where))
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        inner = get_args(hint)[1]
        table = _of(dict, value, where)
        return {key: _value(inner, each, f"{where}.{key}") for key, each in table.items()}
    if origin is Literal:
        return _choice(value, get_args(hint), where)
    if origin in (Union, UnionType):
        return _value(next(arg for arg in get_args(hint) if arg is not type(None)), value, where)
    if hint is Any:
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return _of(hint, value, where)


def _choice(value: Any, choices: tuple[Any, ...], where: str) -> Any:
    if value not in choices:
        raise UsageError(f"{where} is {value!r}{nearest(str(value), map(str, choices))}")
    return value


def _of(kind: Any, value: Any, where: str) -> Any:
    is_bool = isinstance(value, bool) and kind is not bool
    if not isinstance(value, kind) or is_bool:
        raise UsageError(f"{where} is {value!r}; expected a value of type {kind.__name__}")
    return value
