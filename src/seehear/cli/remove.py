"""`seehear remove`: take files out of a library."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seehear.cli.output import JsonOption, LibraryOption, say, say_json


def remove(
    paths: Annotated[list[Path], typer.Argument(help="Files, or folders with all below.")],
    library: LibraryOption,
    as_json: JsonOption = False,
) -> None:
    """Take files out of the library; the files themselves stay where they are."""
    from seehear.library import Library

    with Library.open(library) as opened:
        count = opened.remove(paths)
        engine = opened.status().engine
    if as_json:
        say_json("remove", {"removed": count}, engine=engine)
    else:
        say(f"{count} files taken out of the library")
