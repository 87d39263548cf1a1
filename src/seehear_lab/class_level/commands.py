"""`seehear-lab class-level RECIPE` and the class-level tables of `seehear-lab table`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def class_level(
    recipe: Annotated[str, typer.Argument(help="A class-level recipe by name, or a TOML file.")],
    root: Annotated[Path, typer.Option("--root", help="Folder with the data sets' folders.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of runs.")] = Path("runs"),
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="A change, e.g. system.settings.lr=0.001.")
    ] = None,
) -> None:
    """Train a class-level recipe over its cuts and seeds and print what it found."""
    from seehear_lab.class_level.readers import read_set
    from seehear_lab.class_level.recipe import load_points
    from seehear_lab.class_level.report import as_json, rows_of, write
    from seehear_lab.class_level.run import run

    results = []
    for point in load_points(recipe, changes=changes or ()):
        outcome = run(point.recipe, root, tell=say)
        results.append(as_json(point, read_set(point.recipe.set, root), outcome))
    for result in results:
        for row, *figures, about in rows_of(result):
            say(f"{result['recipe']['set']} {row}: {' '.join(figures)} ({about})")
    say(f"kept in {write(output / Path(recipe).stem, results)}")


def say(line: str) -> None:
    """One line for the user."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
