"""The settings of an experiment: one row of a paper's table, with its published numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from seehear_lab.datasets.clips import ClipConfig
from seehear_lab.evaluate.metrics import Direction
from seehear_lab.evaluate.protocol import Method
from seehear_lab.recipes.reader import build, list_recipes, read_recipe, with_changes
from seehear_lab.train.config import TrainConfig

SAME_ROW = {"train.seed", "clips.workers", "evaluate.trec"}  # changing these keeps the row


@dataclass(frozen=True, kw_only=True)
class ModelPart:
    """A registered model and its settings."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TowerPart:
    """The published towers to start from, and which of them stay frozen."""

    clip: str
    ast: str = ""  # empty: a model without sound
    frozen: tuple[str, ...] = ()  # "clip", "ast"


@dataclass(frozen=True, kw_only=True)
class DataPart:
    """Data set and splits; `val`, or `holdout` training videos, select the weights."""

    set: str
    train: str
    test: str
    val: str = ""
    holdout: int = 0


@dataclass(frozen=True, kw_only=True)
class EvaluatePart:
    """How the test split is scored."""

    correction: Method = "none"
    rerank: float = 0.0  # share of the gallery that stage 2 scores; 0: all of it
    stage1: bool = False  # the row reports stage 1 alone of a recipe that re-ranks
    trec: int = 10  # hits per query in run.txt


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One row: model, data, training and evaluation, and the published numbers (R@K in percent)."""

    table: str
    row: str
    model: ModelPart
    towers: TowerPart
    data: DataPart
    published: Mapping[str, float] = field(default_factory=dict)
    direction: Direction = "t2v"  # of the published numbers
    also_in: tuple[str, ...] = ()  # other tables that quote the row
    run_of: str = ""  # the recipe whose runs contain the row, if not this one
    clips: ClipConfig = field(default_factory=ClipConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluate: EvaluatePart = field(default_factory=EvaluatePart)
    note: str = ""  # what the paper leaves open, or where the recipe differs from it


def load_recipe(name: str, *, changes: Sequence[str] = ()) -> Recipe:
    """Load a recipe by name, or from a TOML file, with changes `a.b=value` applied.

    Raises: UsageError if it does not exist or has an unknown key or value.
    """
    table = with_changes(read_recipe(name), changes)
    return build(Recipe, table, where=f"recipe {Path(name).stem!r}")


def changed_settings(name: str, recipe: Recipe) -> list[str]:
    """Settings `a.b=value` in which `recipe` differs from the shipped recipe `name`.

    Empty if there is no shipped recipe of that name. Keys in SAME_ROW are not compared.
    """
    if name not in list_recipes():
        return []
    shipped, own = (_flatten(asdict(each)) for each in (load_recipe(name), recipe))
    keys = sorted((shipped.keys() | own.keys()) - SAME_ROW)
    return [f"{key}={own.get(key)}" for key in keys if shipped.get(key) != own.get(key)]


def _flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        inner = _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {}
        flat |= inner or {prefix + key: value}
    return flat
