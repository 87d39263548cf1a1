"""A recipe: one row of a paper's table as data, with the published numbers beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from seehear.errors import UsageError
from seehear_lab.datasets.clips import ClipConfig
from seehear_lab.evaluate.metrics import Direction
from seehear_lab.evaluate.protocol import Method
from seehear_lab.settings import build, nearest, read_toml, with_changes
from seehear_lab.train.config import TrainConfig

ITS_OWN = ("published", "direction", "also_in", "run_of")  # never taken from `based_on`


@dataclass(frozen=True, kw_only=True)
class ModelPart:
    """A registered model and its settings."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TowerPart:
    """Which published towers it starts from, and which of them stay as they are."""

    clip: str
    ast: str = ""  # none: nothing is heard
    frozen: tuple[str, ...] = ()  # "clip", "ast"


@dataclass(frozen=True, kw_only=True)
class DataPart:
    """Data set and splits; weights are chosen on `val`, or on `holdout` videos of training."""

    set: str
    train: str
    test: str
    val: str = ""
    holdout: int = 0


@dataclass(frozen=True, kw_only=True)
class EvaluatePart:
    """How the test split is scored."""

    correction: Method = "none"
    rerank: float = 0.0  # share of the gallery that stage 2 sees; 0: all of it
    stage1: bool = False  # the row is about stage 1 alone, of a recipe that re-ranks
    trec: int = 10  # hits of each query in run.txt, with qrels.txt beside


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One row: what is trained on what and how, and what the paper reports (R@K in percent)."""

    table: str
    row: str
    model: ModelPart
    towers: TowerPart
    data: DataPart
    published: Mapping[str, float] = field(default_factory=dict)
    direction: Direction = "t2v"  # of the published numbers
    also_in: tuple[str, ...] = ()  # other tables that quote the row
    run_of: str = ""  # the recipe whose runs have the row, if not its own
    clips: ClipConfig = field(default_factory=ClipConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluate: EvaluatePart = field(default_factory=EvaluatePart)
    note: str = ""  # what the paper leaves open, or where this differs


def list_recipes() -> tuple[str, ...]:
    """The names of all recipes."""
    return tuple(sorted(path.stem for path in _folder().glob("*.toml")))


def load_recipe(name: str, *, changes: Sequence[str] = ()) -> Recipe:
    """A recipe by name, or from a TOML file, with `a.b=value` changes applied.

    `based_on` names the recipe whose values hold where this one says nothing; published numbers
    and where they stand are each recipe's own.

    Raises: UsageError if it is not there or names what does not exist.
    """
    return build(Recipe, with_changes(_table(name), changes), where=f"recipe {Path(name).stem!r}")


def changes_of(name: str, recipe: Recipe) -> list[str]:
    """What a recipe says otherwise than the one of its name here; nothing if there is none.

    The seed, and how many threads read, make no other row of it.
    """
    if name not in list_recipes():
        return []
    own, given = (_flat(asdict(each)) for each in (load_recipe(name), recipe))
    free = {"train.seed", "clips.workers", "evaluate.trec"}
    keys = sorted(own.keys() | given.keys())
    return [f"{k}={given.get(k)}" for k in keys if k not in free and own.get(k) != given.get(k)]


def _flat(table: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        inner = _flat(value, f"{before}{key}.") if isinstance(value, dict) else {}
        flat |= inner or {before + key: value}
    return flat


def _table(name: str) -> dict[str, Any]:
    path = Path(name) if name.endswith(".toml") else _folder() / f"{name}.toml"
    if not path.is_file():
        raise UsageError(f"no recipe named {name!r}{nearest(name, list_recipes())}")
    table = read_toml(path)
    base = table.pop("based_on", None)
    return _merged(_table(base), table) if base else table


def _merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    both = {key: value for key, value in base.items() if key not in ITS_OWN} | own
    for key in base.keys() & own.keys() - {"settings", *ITS_OWN}:
        if isinstance(base[key], dict) and isinstance(own[key], dict):
            both[key] = _merged(base[key], own[key])
    return both


def _folder() -> Path:
    return Path(str(files("seehear_lab") / "recipes"))
