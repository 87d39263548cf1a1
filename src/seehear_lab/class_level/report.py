"""What a run found as JSON, and tables of published and own rows, feature worlds apart."""

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

from seehear.errors import UsageError
from seehear_lab.class_level.pairs import ClassSet
from seehear_lab.class_level.recipe import GridPoint
from seehear_lab.class_level.run import FIGURES, Outcome
from seehear_lab.class_level.systems import TRANSDUCTIVE
from seehear_lab.settings import nearest, read_toml

RESULT = "result.json"
HEAD = ("row", "x2y", "y2x", "both", "class x2y", "class y2x", "class both", "about")
PACKAGES = ("torch", "numpy", "scipy", "scikit-learn")
LISTED = 5000  # rows of larger sets are told by their files, not by number


def as_json(point: GridPoint, held: ClassSet, outcome: Outcome) -> dict[str, Any]:
    """Recipe, cuts, seeds, choices, chance, curves and versions."""
    recipe = point.recipe
    cuts = held.cuts[: recipe.cuts or None]
    parts = [{"val": cut.val.tolist(), "test": cut.test.tolist()} for cut in cuts]
    return {
        "recipe": asdict(recipe),
        "changes": dict(point.changes),
        "features": held.features,
        "directions": {"x": held.x_name, "y": held.y_name},
        "sizes": [{k: len(rows) for k, rows in vars(cut).items()} for cut in cuts],
        "cuts": parts if len(held.pairs) <= LISTED else [],
        "choices": [asdict(choice) for choice in outcome.choices],
        "chance": outcome.chance,
        "curves": outcome.curves,
        "seconds": outcome.seconds,
        "versions": {name: version(name) for name in PACKAGES}
        | {"python": platform.python_version()},
    }


def write(folder: Path, results: Sequence[dict[str, Any]]) -> Path:
    """The results of all combinations of a recipe's grid in one file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / RESULT
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return path


def rows_of(result: dict[str, Any]) -> list[tuple[str, ...]]:
    """One line for each distance of a result: mean±std over cuts and seeds (population std)."""
    recipe, lines = result["recipe"], []
    for distance in recipe["distances"]:
        own = [c["figures"] for c in result["choices"] if c["distance"] == distance]
        cells = [spelled([figures[name] for figures in own]) for name in FIGURES]
        lines.append((recipe["row"], *cells, "; ".join(_about(result, distance, len(own)))))
    return lines


def _about(result: dict[str, Any], distance: str, runs: int) -> list[str]:
    recipe = result["recipe"]
    told = [f"{distance} at test", f"chosen on {recipe['select']}", f"{runs} runs"]
    told += [f"{key.split('.')[-1]} {value}" for key, value in result["changes"].items()]
    if recipe["select"] == "test":
        told.append("REPLICATION: sees the test pairs")
    if recipe["system"]["name"] in TRANSDUCTIVE:
        told.append("transductive")
    return told


def spelled(values: Sequence[float]) -> str:
    """mean±std, or the figure alone where there is one."""
    mean = f"{np.mean(values):.2f}"
    return f"{mean}±{np.std(values):.2f}" if len(values) > 1 else mean


def table_names() -> tuple[str, ...]:
    """Tables of class-level retrieval: dstc-1 to dstc-4, and digits."""
    return tuple(_published())


def table_lines(name: str, runs: Path) -> list[str]:
    """Published rows, marked as quoted, then ours by features; they are not one ranking.

    Raises: UsageError if there is no such table.
    """
    if name not in table_names():
        raise UsageError(f"no class-level table named {name!r}{nearest(name, table_names())}")
    published = _published()[name]
    lines = [published["title"]]
    for block in published.get("blocks", []):
        rows = [(row[0], *(_cell(value) for value in row[1:]), "quoted") for row in block["rows"]]
        lines += ["", f"PUBLISHED, {block['features']}", *_columns([HEAD, *rows])]
        lines += [block["note"]] if "note" in block else []
    found = [result for result in read_results(runs) if result["recipe"]["table"] == name]
    for world in sorted({_world(result) for result in found}):
        own = [result for result in found if _world(result) == world]
        by_chance = [("chance", *_chance(own[0]), "random order")]
        rows = [row for result in own for row in rows_of(result)]
        lines += ["", f"OURS, {world}", *_columns([HEAD, *by_chance, *rows])]
    return lines if found else [*lines, "", f"OURS: no results for this table in '{runs}'"]


def _world(result: dict[str, Any]) -> str:
    sizes, sides = result["sizes"][0], result["directions"]
    return (
        f"{result['features']} (x {sides['x']}, y {sides['y']}; {sizes['train']} train, "
        f"{sizes['val']} val, {sizes['test']} test; {len(result['sizes'])} cuts)"
    )


def _chance(result: dict[str, Any]) -> list[str]:
    plain, by_class = f"{result['chance']['map']:.2f}", f"{result['chance']['class_map']:.2f}"
    return [plain] * 3 + [by_class] * 3


def read_results(runs: Path) -> list[dict[str, Any]]:
    """All results under a folder, in the order of their recipes' names."""
    found: list[dict[str, Any]] = []
    for path in sorted(runs.glob(f"**/{RESULT}")):
        found += json.loads(path.read_text(encoding="utf-8"))
    return found


def _published() -> dict[str, Any]:
    return read_toml(Path(str(files("seehear_lab") / "class_level" / "published.toml")))


def _cell(value: Any) -> str:
    return "" if value == "" else f"{value:.2f}" if isinstance(value, float) else str(value)


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if at in (0, len(row) - 1) else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
