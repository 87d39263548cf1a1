"""Results of class-level runs as JSON, and tables of published rows and ours."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from seehear.errors import UsageError, suggest
from seehear_lab.class_level.grid import GridPoint
from seehear_lab.class_level.pairs import ClassSet
from seehear_lab.class_level.run import METRICS, Outcome
from seehear_lab.class_level.systems import TRANSDUCTIVE
from seehear_lab.evaluate.report import align
from seehear_lab.recipes.reader import read_toml

RESULT = "result.json"
HEAD = ("row", "x2y", "y2x", "both", "class x2y", "class y2x", "class both", "about")
LEFT = (0, len(HEAD) - 1)  # columns aligned to the left
PACKAGES = ("torch", "numpy", "scipy", "scikit-learn")
LISTED = 5000  # pairs up to which the rows of each split are written


def as_json(point: GridPoint, data: ClassSet, outcome: Outcome) -> dict[str, Any]:
    """Recipe, splits, selections, chance, curves and package versions."""
    recipe = point.recipe
    splits = data.splits[: recipe.splits or None]
    rows = [{"val": split.val.tolist(), "test": split.test.tolist()} for split in splits]
    return {
        "recipe": asdict(recipe),
        "changes": dict(point.changes),
        "features": data.features,
        "directions": {"x": data.x_name, "y": data.y_name},
        "sizes": [{k: len(rows) for k, rows in vars(split).items()} for split in splits],
        "splits": rows if len(data.pairs) <= LISTED else [],
        "selections": [asdict(selection) for selection in outcome.selections],
        "chance": outcome.chance,
        "curves": outcome.curves,
        "seconds": outcome.seconds,
        "versions": {name: version(name) for name in PACKAGES}
        | {"python": platform.python_version()},
    }


def write(folder: Path, results: Sequence[dict[str, Any]]) -> Path:
    """Write the results of all points of a grid into one file; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / RESULT
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return path


def rows_of(result: dict[str, Any]) -> list[tuple[str, ...]]:
    """One row per distance: mean±std (population) over splits and seeds."""
    recipe, rows = result["recipe"], []
    for distance in recipe["distances"]:
        own = [s["metrics"] for s in result["selections"] if s["distance"] == distance]
        cells = [mean_and_std([metrics[name] for metrics in own]) for name in METRICS]
        rows.append((recipe["row"], *cells, "; ".join(_conditions(result, distance, len(own)))))
    return rows


def _conditions(result: dict[str, Any], distance: str, runs: int) -> list[str]:
    recipe = result["recipe"]
    found = [f"{distance} at test", f"selected on {recipe['select']}", f"runs: {runs}"]
    found += [f"{key.split('.')[-1]} {value}" for key, value in result["changes"].items()]
    if recipe["select"] == "test":
        found.append("REPLICATION: selected on the test pairs")
    if recipe["system"]["name"] in TRANSDUCTIVE:
        found.append("transductive")
    return found


def mean_and_std(values: Sequence[float]) -> str:
    """mean±std, or a single value alone."""
    mean = f"{np.mean(values):.2f}"
    return f"{mean}±{np.std(values):.2f}" if len(values) > 1 else mean


def table_names() -> tuple[str, ...]:
    """Names of the class-level tables: dstc-1 to dstc-4, and digits."""
    return tuple(_published())


def table_lines(name: str, runs: Path) -> list[str]:
    """Lines of a table: published rows, then ours grouped by features; never one ranking.

    Raises: UsageError if there is no such table.
    """
    if name not in table_names():
        raise UsageError(f"no class-level table named {name!r}{suggest(name, table_names())}")
    published = _published()[name]
    lines = [published["title"]]
    for block in published.get("blocks", []):
        rows = [(row[0], *(_cell(value) for value in row[1:]), "quoted") for row in block["rows"]]
        lines += ["", f"PUBLISHED, {block['features']}", *align([HEAD, *rows], left=LEFT)]
        lines += [block["note"]] if "note" in block else []
    results = [result for result in read_results(runs) if result["recipe"]["table"] == name]
    for setup in sorted({_setup(result) for result in results}):
        own = [result for result in results if _setup(result) == setup]
        chance = ("chance", *_chance(own[0]), "random order")
        rows = [row for result in own for row in rows_of(result)]
        lines += ["", f"OURS, {setup}", *align([HEAD, chance, *rows], left=LEFT)]
    return lines if results else [*lines, "", f"OURS: no results for this table in '{runs}'"]


def _setup(result: dict[str, Any]) -> str:
    """Features and sizes: only rows with the same setup can be compared."""
    sizes, sides = result["sizes"][0], result["directions"]
    return (
        f"{result['features']} (x {sides['x']}, y {sides['y']}; {sizes['train']} train, "
        f"{sizes['val']} val, {sizes['test']} test; splits: {len(result['sizes'])})"
    )


def _chance(result: dict[str, Any]) -> list[str]:
    plain, by_class = f"{result['chance']['map']:.2f}", f"{result['chance']['class_map']:.2f}"
    return [plain] * 3 + [by_class] * 3


def read_results(runs: Path) -> list[dict[str, Any]]:
    """All results in a folder, in the order of their recipes' names."""
    found: list[dict[str, Any]] = []
    for path in sorted(runs.glob(f"**/{RESULT}")):
        found += json.loads(path.read_text(encoding="utf-8"))
    return found


def _published() -> dict[str, Any]:
    return read_toml(Path(str(files("seehear_lab") / "class_level" / "published.toml")))


def _cell(value: Any) -> str:
    return "" if value == "" else f"{value:.2f}" if isinstance(value, float) else str(value)
