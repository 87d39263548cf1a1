"""Class-level recipes, and every combination of the settings in their `[grid]`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Literal

from seehear_lab.class_level.metrics import Distance
from seehear_lab.class_level.pairs import Scale
from seehear_lab.class_level.systems import build_system
from seehear_lab.recipes.reader import build, read_recipe, set_key, with_changes

FOLDER = "class_level"  # inside recipes/
SelectOn = Literal["val", "test", "last"]


@dataclass(frozen=True, kw_only=True)
class SystemPart:
    """A system by name and its settings."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ClassRecipe:
    """One row of a class-level table: system, data set, model selection, published numbers."""

    table: str
    row: str
    set: str
    system: SystemPart
    scale: Scale = "zscore"
    select: SelectOn = "val"  # "test" only to replicate papers that did so; such rows are marked
    distances: tuple[Distance, ...] = ("cosine",)  # at test; each selects its own state
    splits: int = 0  # use only the first so many; 0: all
    seeds: tuple[int, ...] = (0,)  # each on every split
    patience: int = 20  # epochs without a gain on any split before training stops
    grid: Mapping[str, Any] = field(default_factory=dict)  # dotted key -> values, all combined
    published: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class GridPoint:
    """A recipe with one combination of its grid filled in."""

    recipe: ClassRecipe
    changes: Mapping[str, Any]


def load_points(name: str, *, changes: Sequence[str] = ()) -> list[GridPoint]:
    """Load a recipe by name or file, once for every combination of its grid.

    A change to a key of the grid replaces the values of that key.

    Raises: UsageError for an unknown recipe, key, system or value.
    """
    table = with_changes(read_recipe(name, folder=FOLDER), changes)
    changed = {change.partition("=")[0].strip() for change in changes}
    grid = {key: values for key, values in table.pop("grid", {}).items() if key not in changed}
    points = []
    for values in product(*grid.values()):
        chosen = dict(zip(grid, values, strict=True))
        filled = with_changes(table, ())
        for key, value in chosen.items():
            set_key(filled, key, value)
        recipe = build(ClassRecipe, filled, where=name)
        build_system(recipe.system.name, recipe.system.settings)  # refuses unknown settings
        points.append(GridPoint(recipe=replace(recipe, grid=grid), changes=chosen))
    return points
