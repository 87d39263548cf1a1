"""`seehear verify`: check a library for damage."""

from __future__ import annotations

from typing import Annotated

import typer

from seehear.cli.output import JsonOption, LibraryOption, say, say_json
from seehear.errors import LibraryError, counted


def verify(
    library: LibraryOption,
    full: Annotated[
        bool, typer.Option("--full", help="Compare every checksum, not a sample.")
    ] = False,
    compact: Annotated[
        bool, typer.Option("--compact", help="Then compact the tables and delete old versions.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check tables, checksums and journal; exit code 4 if something is wrong."""
    from seehear.library import Library

    with Library.open(library) as opened:
        problems = opened.verify(full=full)
        engine = opened.status().engine
        done = opened.maintain() if compact and not problems else []
    if as_json:
        say_json("verify", {"problems": problems, "maintenance": done}, engine=engine)
    else:
        for line in (*problems, *done):
            say(line)
    if problems:
        raise LibraryError(f"{counted(len(problems), 'problem')} found")
    if not as_json:
        say("no problems found")
