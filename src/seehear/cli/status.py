"""`seehear status`: counts, engine and failed files of a library."""

from __future__ import annotations

from seehear.cli.output import JsonOption, LibraryOption, name_engine, say, say_json, shown, size
from seehear.errors import counted


def status(library: LibraryOption, as_json: JsonOption = False) -> None:
    """Show counts, the engine, and the files that could not be indexed."""
    from seehear.library import Library

    with Library.open(library) as opened:
        found = opened.status()
    name_engine(found.engine)
    if as_json:
        say_json("status", found)
        return
    say(f"library   {shown(found.root)}")
    say(f"engine    {found.engine} ({found.fingerprint[:12]})")
    say(f"files     {found.videos} ({found.hours:.2f} h), {found.without_sound} without sound")
    say(f"moments   {found.items}")
    say(f"on disk   {size(found.size_bytes)}")
    if found.failed:
        say(f"{counted(len(found.failed), 'file')} could not be indexed (--retry tries again):")
    for path, reason in found.failed:
        say(f"  {shown(path)}: {reason}")
