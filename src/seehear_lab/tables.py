"""A table of a paper: what was published, what our runs gave, what was not run, what cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from statistics import mean

from seehear.errors import UsageError
from seehear_lab.evaluate.report import Result, read_results
from seehear_lab.recipe import Recipe, list_recipes, load_recipe
from seehear_lab.runs import RESULTS
from seehear_lab.settings import nearest, read_toml

HEAD = ("row", "metric", "paper", "ours", "delta", "seeds", "selected on", "label")
NAMES = {"r1": "R@1", "r5": "R@5", "r10": "R@10", "mdr": "MdR", "mnr": "MnR", "map": "mAP"}


def table(name: str, runs: Path) -> list[tuple[str, ...]]:
    """Rows of a table, the head first; cells of what was not run are empty.

    Results are looked for in `runs`/<recipe>/<any folder>/results.json, one folder a seed; rows
    that another recipe's runs hold as well are found there.

    Raises: UsageError if no recipe belongs to a table of that name.
    """
    own = recipes_of(name)
    best_first = sorted(own.items(), key=lambda pair: -next(iter(pair[1].published.values())))
    rows = [
        row
        for key, recipe in best_first
        for row in _rows(recipe, found(runs / (recipe.run_of or key), recipe))
    ]
    return [HEAD, *rows]


def recipes_of(name: str) -> dict[str, Recipe]:
    """The recipes of a table. Raises: UsageError if there are none."""
    recipes = {key: load_recipe(key) for key in list_recipes()}
    tables = {key: (recipe.table, *recipe.also_in) for key, recipe in recipes.items()}
    own = {key: recipe for key, recipe in recipes.items() if name in tables[key]}
    if not own:
        known = {each for names in tables.values() for each in names}
        raise UsageError(f"no table named {name!r}{nearest(name, known)}")
    return own


def departures(result: Result) -> list[str]:
    """In what a run is not what its recipe says."""
    about = result.about
    counts = {
        "missing_pairs": "pairs missing",
        "test_videos_in_training": "test videos trained on",
    }
    said = [f"{about[key]} {what}" for key, what in counts.items() if about.get(key)]
    said += [f"{len(about['unread'])} videos unread"] if about.get("unread") else []
    return [*about.get("changed", ()), *said]


def remarks(name: str, runs: Path) -> list[str]:
    """What is not as the recipe says (*), which recipe gives a row, and where it leaves its paper.

    Last come the rows that cannot be had.
    """
    own = recipes_of(name)
    lines = []
    for key, recipe in own.items():
        results = found(runs / (recipe.run_of or key), recipe)
        other = dict.fromkeys(each for result in results for each in departures(result))
        lines += [f"* {recipe.row}: {', '.join(other)}"] if other else []
    lines += [f"{recipe.row}: recipe {recipe.run_of or key}" for key, recipe in own.items()]
    notes = dict.fromkeys(recipe.note for recipe in own.values() if recipe.note)
    lines += [f"note: {note}" for note in notes]
    absent = read_toml(Path(str(files("seehear_lab") / "tables.toml"))).get(name, {})
    return [*lines, *(f"not here: {row}: {reason}" for row, reason in absent.items())]


def found(folder: Path, recipe: Recipe) -> list[Result]:
    """The result of each seed that the recipe's row is about."""
    chosen = []
    for path in sorted(folder.glob(f"*/{RESULTS}")):
        own = [result for result in read_results(path) if _is_the_row(result, recipe)]
        chosen += own[:1]
    return chosen


def _is_the_row(result: Result, recipe: Recipe) -> bool:
    rule, about = recipe.evaluate, result.about
    is_two_stage = bool(rule.rerank) and not rule.stage1
    wanted = (rule.correction != "none", is_two_stage, rule.stage1)
    has = ("correction" in about, "reranked" in about, "stage1" in about)
    return result.direction == recipe.direction and has == wanted


def _rows(recipe: Recipe, results: Sequence[Result]) -> list[tuple[str, ...]]:
    rows = []
    for key, published in recipe.published.items():
        ours, delta, chosen, label = "", "", "", ""
        if results:
            value = mean(getattr(result.metrics, key) for result in results)
            ours, delta = f"{value:.1f}", f"{value - published:+.1f}"
            chosen = ", ".join(sorted({result.selected_on for result in results}))
            label = ", ".join(sorted({result.label for result in results}))
            label += " *" * any(map(departures, results))
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
