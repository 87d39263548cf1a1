"""A table of a paper: published numbers next to ours, and the rows that cannot be reproduced."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from statistics import mean

from seehear.errors import UsageError, suggest
from seehear_lab.evaluate.report import Result, read_results
from seehear_lab.experiments.recipe import Recipe, load_recipe
from seehear_lab.experiments.record import RESULTS
from seehear_lab.recipes.reader import list_recipes, read_toml

HEAD = ("row", "metric", "paper", "ours", "delta", "seeds", "selected on", "label")
NAMES = {"r1": "R@1", "r5": "R@5", "r10": "R@10", "mdr": "MdR", "mnr": "MnR", "map": "mAP"}


def table_rows(name: str, runs: Path) -> list[tuple[str, ...]]:
    """Rows of a table after HEAD; our cells are empty where nothing was run.

    Reads `runs`/<recipe>/<seed>/results.json. A recipe with `run_of` takes the runs of that one.

    Raises: UsageError if no recipe belongs to a table of that name.
    """
    recipes = recipes_of(name)
    best_first = sorted(recipes.items(), key=lambda pair: -next(iter(pair[1].published.values())))
    rows = [
        row
        for key, recipe in best_first
        for row in _rows(recipe, find_results(runs / (recipe.run_of or key), recipe))
    ]
    return [HEAD, *rows]


def recipes_of(name: str) -> dict[str, Recipe]:
    """The recipes of a table. Raises: UsageError if there are none."""
    recipes = {key: load_recipe(key) for key in list_recipes()}
    tables = {key: (recipe.table, *recipe.also_in) for key, recipe in recipes.items()}
    found = {key: recipe for key, recipe in recipes.items() if name in tables[key]}
    if not found:
        known = {each for names in tables.values() for each in names}
        raise UsageError(f"no table named {name!r}{suggest(name, known)}")
    return found


def deviations(result: Result) -> list[str]:
    """Where a run differs from its recipe: changed settings, missing or leaking videos."""
    about = result.about
    counts = {
        "missing pairs": about.get("missing_pairs", 0),
        "test videos in training": about.get("test_videos_in_training", 0),
        "unreadable videos": len(about.get("unread", ())),
    }
    return [*about.get("changed", ()), *(f"{what}: {n}" for what, n in counts.items() if n)]


def remarks(name: str, runs: Path) -> list[str]:
    """Lines below a table: deviations (*), the recipe of each row, notes, missing rows."""
    recipes = recipes_of(name)
    lines = []
    for key, recipe in recipes.items():
        results = find_results(runs / (recipe.run_of or key), recipe)
        different = dict.fromkeys(each for result in results for each in deviations(result))
        lines += [f"* {recipe.row}: {', '.join(different)}"] if different else []
    lines += [f"{recipe.row}: recipe {recipe.run_of or key}" for key, recipe in recipes.items()]
    notes = dict.fromkeys(recipe.note for recipe in recipes.values() if recipe.note)
    lines += [f"note: {note}" for note in notes]
    missing = read_toml(Path(str(files("seehear_lab.experiments") / "tables.toml"))).get(name, {})
    return [*lines, *(f"no recipe: {row}: {reason}" for row, reason in missing.items())]


def find_results(folder: Path, recipe: Recipe) -> list[Result]:
    """The result of each seed in a folder that the recipe's row reports."""
    found = []
    for path in sorted(folder.glob(f"*/{RESULTS}")):
        found += [result for result in read_results(path) if _is_row_of(result, recipe)][:1]
    return found


def _is_row_of(result: Result, recipe: Recipe) -> bool:
    part, about = recipe.evaluate, result.about
    is_two_stage = bool(part.rerank) and not part.stage1
    wanted = (part.correction != "none", is_two_stage, part.stage1)
    has = ("correction" in about, "reranked" in about, "stage1" in about)
    return result.direction == recipe.direction and has == wanted


def _rows(recipe: Recipe, results: Sequence[Result]) -> list[tuple[str, ...]]:
    rows = []
    for key, published in recipe.published.items():
        ours, delta, selected, label = "", "", "", ""
        if results:
            value = mean(getattr(result.metrics, key) for result in results)
            ours, delta = f"{value:.1f}", f"{value - published:+.1f}"
            selected = ", ".join(sorted({result.selected_on for result in results}))
            label = ", ".join(sorted({result.label for result in results}))
            label += " *" * any(map(deviations, results))
        seeds = str(len(results)) if results else ""
        row = recipe.row if not rows else ""
        rows.append((row, NAMES[key], f"{published:.1f}", ours, delta, seeds, selected, label))
    return rows
