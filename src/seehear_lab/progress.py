"""What a training run shows while it runs: a bar for people, lines for files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

EVERY = 50  # steps between two lines where there is no bar
Tell = Callable[[dict[str, Any]], None]


@contextmanager
def told_steps(*, is_shown: bool = True) -> Iterator[Tell]:
    """Takes the rows of `fit`: validation as lines, steps as a bar on a terminal or as lines.

    `is_shown` is False in all processes of a run but the first.
    """
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not (is_shown and console.is_terminal),
    )
    with bar:
        task = bar.add_task("starting", total=None)

        def tell(row: dict[str, Any]) -> None:
            if not is_shown:
                return
            if "figure" in row:
                _line(bar, f"step {row['step']}: R@1 on validation {row['figure']:.1f}")
            elif not bar.disable:
                bar.update(
                    task,
                    completed=row["step"],
                    total=row["of"],
                    description=f"loss {row['loss']:.4f}",
                )
            elif row["step"] % EVERY == 0 or row["step"] == 1:
                _line(bar, f"step {row['step']}: loss {row['loss']:.4f}, {row['seconds']:.2f} s")

        yield tell


def _line(bar: Progress, line: str) -> None:
    """One line on standard output, above the bar if there is one."""
    if bar.disable:
        sys.stdout.write(line + "\n")
    else:
        bar.console.print(line, highlight=False)
