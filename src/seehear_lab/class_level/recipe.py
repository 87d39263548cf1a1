"""A recipe: one row of a class-level table as data, with the published numbers beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any, Literal

from seehear.errors import UsageError
from seehear_lab.class_level.metrics import Distance
from seehear_lab.class_level.pairs import Scale
from seehear_lab.class_level.systems import build_system
from seehear_lab.settings import build, nearest, read_toml, with_changes

SelectOn = Literal["val", "test", "last"]


@dataclass(frozen=True, kw_only=True)
class SystemPart:
    """A system by name and its settings."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ClassRecipe:
    """What is trained on which data set, and how it is chosen and judged."""

    table: str
    row: str
    set: str
    system: SystemPart
    scale: Scale = "zscore"
    select: SelectOn = "val"  # "test" only to replicate those who did; such rows are marked
    distances: tuple[Distance, ...] = ("cosine",)  # at test; each chooses its own state
    cuts: int = 0  # the first so many; 0 for all
    seeds: tuple[int, ...] = (0,)  # each on every cut; cuts that train on the same pairs share
    patience: int = 20  # epochs without a better validation on any cut
    grid: Mapping[str, Any] = field(default_factory=dict)  # dotted key -> values, all combined
    published: Mapping[str, float] = field(default_factory=dict)
    published_on: str = ""


@dataclass(frozen=True, kw_only=True)
class GridPoint:
    """A recipe with one combination of its grid filled in."""

    recipe: ClassRecipe
    changes: Mapping[str, Any]


def list_recipes() -> tuple[str, ...]:
    """Names of the class-level recipes that come with the lab, sorted."""
    folder = files("seehear_lab") / "recipes" / "class_level"
    return tuple(sorted(Path(f.name).stem for f in folder.iterdir() if f.name.endswith(".toml")))


def load_points(name: str, *, changes: Sequence[str] = ()) -> list[GridPoint]:
    """A recipe by name or file, once for every combination of its grid; settings are checked.

    A change to a key of the grid replaces its values there.

    Raises: UsageError for an unknown recipe, key, system, or value.
    """
    table = with_changes(read_toml(_path(name)), changes)
    changed = {change.partition("=")[0].strip() for change in changes}
    grid = {key: values for key, values in table.pop("grid", {}).items() if key not in changed}
    points = []
    for values in product(*grid.values()):
        chosen = dict(zip(grid, values, strict=True))
        filled = with_changes(table, [])
        for key, value in chosen.items():
            _put(filled, key, value)
        recipe = build(ClassRecipe, filled, where=name)
        build_system(recipe.system.name, recipe.system.settings)
        points.append(GridPoint(recipe=replace(recipe, grid=grid), changes=chosen))
    return points


def _put(table: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
    table[last] = value


def _path(name: str) -> Path:
    if name.endswith(".toml"):
        return Path(name)
    if name not in list_recipes():
        raise UsageError(f"no class-level recipe named {name!r}{nearest(name, list_recipes())}")
    return Path(str(files("seehear_lab") / "recipes" / "class_level" / f"{name}.toml"))
