"""Progress of a training run: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from seehear_lab.train.loop import OnLog

EVERY = 50  # steps between two lines where there is no bar


@contextmanager
def show_progress(*, is_shown: bool = True) -> Iterator[OnLog]:
    """A function for the `on_log` of `fit`; shows validation as lines and steps as a bar or lines.

    `is_shown` is False in every process but the first.
    """
    console = Console(stderr=True, highlight=False, markup=False)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not (is_shown and console.is_terminal),
    )
    lines = Console(soft_wrap=True, highlight=False, markup=False) if bar.disable else console
    with bar:
        task = bar.add_task("starting", total=None)

        def on_log(row: dict[str, Any]) -> None:
            if not is_shown:
                return
            if "metric" in row:
                lines.print(f"step {row['step']}: R@1 on validation {row['metric']:.1f}")
            elif not bar.disable:
                bar.update(
                    task,
                    completed=row["step"],
                    total=row["of"],
                    description=f"loss {row['loss']:.4f}",
                )
            elif row["step"] % EVERY == 0 or row["step"] == 1:
                message = f"step {row['step']}: loss {row['loss']:.4f}, {row['seconds']:.2f} s"
                lines.print(message)

        yield on_log
