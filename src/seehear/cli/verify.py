"""`seehear verify`: is everything in a library as it was written?"""

from __future__ import annotations

from typing import Annotated

import typer

from seehear.cli.output import JsonOption, LibraryOption, say, say_json
from seehear.errors import LibraryError


def verify(
    library: LibraryOption,
    full: Annotated[
        bool, typer.Option("--full", help="Compare every checksum, not a sample.")
    ] = False,
    compact: Annotated[
        bool, typer.Option("--compact", help="Then compact the tables and clear old versions away.")
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
        raise LibraryError(f"{len(problems)} problems found")
    if not as_json:
        say("the library is sound")
