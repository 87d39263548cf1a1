"""Shared by all commands: the library option, JSON output, times and bars as text."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer
from platformdirs import user_data_path

from seehear import __name__ as package

LibraryOption = Annotated[
    str,
    typer.Option(
        "--library",
        "-l",
        envvar="SEEHEAR_LIBRARY",
        metavar="PLACE",
        help="Folder of the library, or s3://BUCKET/PREFIX.",
        default_factory=lambda: str(user_data_path(package) / "library"),
        show_default="your data folder",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def say(text: str = "") -> None:
    """Print a line of the answer to stdout."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """Print a remark to stderr, so that pipes get the answer only."""
    sys.stderr.write(text + "\n")


def fail(sentence: str) -> None:
    """Print the sentence that a failed command ends with."""
    note(f"seehear: {sentence}")


def say_json(kind: str, answer: Any, **more: Any) -> None:
    """Print one JSON object; `schema` names its kind and version."""
    fields = answer if isinstance(answer, dict) else asdict(answer)
    json.dump({"schema": f"seehear.{kind}/1", **more, **fields}, sys.stdout)
    say()


def name_engine(name: str) -> None:
    """Name the engine on stderr, next to every answer."""
    limits = " (tag names, no model hub; weaker than CLIP + AST)" if name == "tags" else ""
    note(f"engine: {name}{limits}")


def clock(seconds: float) -> str:
    """Seconds as m:ss.s, or as h:mm:ss from one hour."""
    tenths = round(seconds * 10)
    if tenths >= 36000:
        full = tenths // 10
        return f"{full // 3600}:{full // 60 % 60:02d}:{full % 60:02d}"
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"


def bar(share: float, width: int = 6) -> str:
    """A share from 0 to 1 as a bar of fixed width."""
    full = round(max(0.0, min(1.0, share)) * width)
    return "█" * full + "░" * (width - full)


def shown(path: str) -> str:
    """A path relative to the current folder if it is below it; odd characters escaped."""
    try:
        here = os.getcwd() + os.sep  # noqa: PTH109
    except OSError:  # the current folder is gone
        here = ""
    short = path[len(here) :] if here and path.startswith(here) else path
    return short if short.isprintable() else ascii(short)[1:-1]


def size(size_bytes: float) -> str:
    """A size with its unit: B, kB, MB or GB."""
    for unit in ("B", "kB", "MB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} GB"
