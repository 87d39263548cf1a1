"""Read TOML into frozen dataclasses; refuse unknown keys and suggest the nearest known name."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from importlib.resources import files
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from seehear.errors import UsageError, suggest

Settings = TypeVar("Settings")
NOT_INHERITED = ("published", "direction", "also_in", "run_of")  # never taken from `based_on`


def list_recipes(folder: str = "") -> tuple[str, ...]:
    """Names of the shipped recipes, sorted; `folder` is a folder inside recipes/."""
    return tuple(sorted(path.stem for path in _shipped(folder).glob("*.toml")))


def read_recipe(name: str, *, folder: str = "") -> dict[str, Any]:
    """The table of a shipped recipe, or of a path that ends in .toml.

    `based_on` names another recipe: its values apply wherever this one sets none, except for the
    keys in NOT_INHERITED.

    Raises: UsageError if the file does not exist or is not TOML.
    """
    path = Path(name) if name.endswith(".toml") else _shipped(folder) / f"{name}.toml"
    if not path.is_file():
        kind = f"{folder.replace('_', '-')} recipe".strip()
        raise UsageError(f"no {kind} named {name!r}{suggest(name, list_recipes(folder))}")
    table = read_toml(path)
    base = table.pop("based_on", None)
    return _inherit(read_recipe(base, folder=folder), table) if base else table


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file.

    Raises: UsageError if the file cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"'{path}' cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"'{path}' is not valid TOML: {error}") from error


def build(kind: type[Settings], table: Mapping[str, Any], *, where: str) -> Settings:
    """Build a dataclass from a table; missing keys keep their defaults.

    Raises: UsageError, starting with `where`, for an unknown or missing key or a wrong type.
    """
    hints = get_type_hints(kind)
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for key in table:
        if key not in known:
            raise UsageError(f"{where} has no setting {key!r}{suggest(key, known)}")
    for field in fields(kind):  # type: ignore[arg-type]
        is_required = field.default is MISSING and field.default_factory is MISSING
        if is_required and field.name not in table:
            raise UsageError(f"{where} lacks the setting {field.name!r}")
    values = {key: _convert(hints[key], value, f"{where}.{key}") for key, value in table.items()}
    return kind(**values)


def with_changes(table: Mapping[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """A copy of a table with changes `a.b=value` applied; values are TOML, bare words are text.

    Raises: UsageError for a change without '='.
    """
    changed = _copy(table)
    for change in changes:
        path, equals, text = change.partition("=")
        if not equals or not path:
            raise UsageError(f"{change!r} is not a change; write it as train.batch_size=12")
        set_key(changed, path.strip(), _parse_value(text.strip()))
    return changed


def set_key(table: dict[str, Any], path: str, value: Any) -> None:
    """Set `a.b` in a table in place, making inner tables as needed.

    Raises: UsageError if a key on the way is not a table.
    """
    *parents, last = path.split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise UsageError(f"{path!r}: {parent!r} is not a table")
    table[last] = value


def _copy(value: Any) -> Any:
    return {k: _copy(v) for k, v in value.items()} if isinstance(value, Mapping) else value


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _inherit(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    merged = {key: value for key, value in base.items() if key not in NOT_INHERITED} | own
    for key in base.keys() & own.keys() - {"settings", *NOT_INHERITED}:
        if isinstance(base[key], dict) and isinstance(own[key], dict):
            merged[key] = _inherit(base[key], own[key])
    return merged


def _shipped(folder: str) -> Path:
    return Path(str(files("seehear_lab") / "recipes" / folder))


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin = get_origin(hint)
    if is_dataclass(hint) and isinstance(hint, type):
        return build(hint, _expect(dict, value, where), where=where)
    if origin is tuple:
        inner = get_args(hint)[0]
        return tuple(_convert(inner, each, where) for each in _expect(list, value, where))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        inner = get_args(hint)[1]
        table = _expect(dict, value, where)
        return {key: _convert(inner, each, f"{where}.{key}") for key, each in table.items()}
    if origin is Literal:
        return _choose(value, get_args(hint), where)
    if origin in (Union, UnionType):
        return _convert(next(arg for arg in get_args(hint) if arg is not type(None)), value, where)
    if hint is Any:
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return _expect(hint, value, where)


def _choose(value: Any, choices: tuple[Any, ...], where: str) -> Any:
    if value not in choices:
        raise UsageError(f"{where} is {value!r}{suggest(str(value), map(str, choices))}")
    return value


def _expect(kind: Any, value: Any, where: str) -> Any:
    is_wrong_bool = isinstance(value, bool) and kind is not bool
    if not isinstance(value, kind) or is_wrong_bool:
        raise UsageError(f"{where} is {value!r}; expected a value of type {kind.__name__}")
    return value
