"""`seehear remove`: remove files from a library."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seehear.cli.output import JsonOption, LibraryOption, say, say_json
from seehear.errors import counted


def remove(
    paths: Annotated[list[Path], typer.Argument(help="Files, or folders with everything below.")],
    library: LibraryOption,
    as_json: JsonOption = False,
) -> None:
    """Remove files from the library; the files themselves are not deleted."""
    from seehear.library import Library

    with Library.open(library) as opened:
        count = opened.remove(paths)
        engine = opened.status().engine
    if as_json:
        say_json("remove", {"removed": count}, engine=engine)
    else:
        say(f"{counted(count, 'file')} removed from the library")
