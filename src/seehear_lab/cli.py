"""The command line of the lab, `seehear-lab`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, get_args

import typer

from seehear.errors import SeeHearError
from seehear_lab import commands
from seehear_lab.convert.checkpoint import Kind, convert_checkpoint

app = typer.Typer(
    name="seehear-lab",
    help="Train, evaluate and compare retrieval models.",
    epilog="Exit codes: 0 done, 1 unexpected error, 2 wrong usage, 3 wrong checkpoint or weights, "
    "5 unreadable media, 6 incomplete data set.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("train")(commands.train)
app.command("table")(commands.show_table)
app.command("compare")(commands.compare)
app.command("finetune")(commands.finetune)
app.command("match")(commands.match)
app.add_typer(commands.data, name="data")
app.command("class-level")(commands.class_level)


@app.callback()
def lab() -> None:
    """Train, evaluate and compare retrieval models."""


@app.command()
def convert(
    kind: Annotated[
        Kind,
        typer.Argument(
            metavar="KIND",
            help=f"The model it was trained as: {', '.join(get_args(Kind))} (a run of train).",
        ),
    ],
    checkpoint: Annotated[Path, typer.Argument(help="A .safetensors file, or one of torch.save.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write weights into.")],
) -> None:
    """Convert a published checkpoint, or a run of train, into a folder of weights."""
    for line in convert_checkpoint(kind, checkpoint, output):
        commands.print_line(line)


def main() -> None:
    """Run the command line; print errors of the user in one sentence and exit with their code."""
    try:
        app()
    except SeeHearError as error:
        sys.stderr.write(f"seehear-lab: {error}\n")
        sys.exit(error.exit_code)
