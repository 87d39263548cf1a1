"""A table of a paper: what was published, what our runs gave, and what was not run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

from seehear.errors import UsageError
from seehear_lab.evaluate.report import Result, read_results
from seehear_lab.recipe import Recipe, list_recipes, load_recipe
from seehear_lab.runs import RESULTS
from seehear_lab.settings import nearest

HEAD = ("row", "metric", "paper", "ours", "delta", "seeds", "selected on", "label")
NAMES = {"r1": "R@1", "r5": "R@5", "r10": "R@10", "mdr": "MdR", "mnr": "MnR", "map": "mAP"}


def table(name: str, runs: Path) -> list[tuple[str, ...]]:
    """Rows of a table, the head first; cells of what was not run are empty.

    Results are looked for in `runs`/<recipe>/<any folder>/results.json, one folder a seed.

    Raises: UsageError if no recipe belongs to a table of that name.
    """
    recipes = {key: load_recipe(key) for key in list_recipes()}
    tables = {key: (recipe.table, *recipe.also_in) for key, recipe in recipes.items()}
    own = {key: recipe for key, recipe in recipes.items() if name in tables[key]}
    if not own:
        known = {each for names in tables.values() for each in names}
        raise UsageError(f"no table named {name!r}{nearest(name, known)}")
    best_first = sorted(own.items(), key=lambda pair: -next(iter(pair[1].published.values())))
    rows = [row for key, recipe in best_first for row in _rows(recipe, found(runs / key, recipe))]
    return [HEAD, *rows]


def found(folder: Path, recipe: Recipe) -> list[Result]:
    """The result of each seed that the recipe's row is about."""
    chosen = []
    for path in sorted(folder.glob(f"*/{RESULTS}")):
        results = [result for result in read_results(path) if result.direction == "t2v"]
        chosen += [next(r for r in results if _is_the_row(r.about, recipe))]
    return chosen


def _is_the_row(about: Mapping[str, object], recipe: Recipe) -> bool:
    rule = recipe.evaluate
    wanted = (rule.correction != "none", bool(rule.rerank))
    return ("correction" in about, "reranked" in about) == wanted


def _rows(recipe: Recipe, results: Sequence[Result]) -> list[tuple[str, ...]]:
    rows = []
    for key, published in recipe.published.items():
        ours, delta, chosen, label = "", "", "", ""
        if results:
            value = mean(getattr(result.metrics, key) for result in results)
            ours, delta = f"{value:.1f}", f"{value - published:+.1f}"
            chosen = ", ".join(sorted({result.selected_on for result in results}))
            label = ", ".join(sorted({result.label for result in results}))
        seeds = str(len(results)) if results else ""
        row = recipe.row if not rows else ""
        rows.append((row, NAMES[key], f"{published:.1f}", ours, delta, seeds, chosen, label))
    return rows


def as_text(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows in columns of even width."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
