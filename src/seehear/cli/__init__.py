"""The command line: one file per command, each a thin layer over `Library`."""

from __future__ import annotations

import io
import signal
import sqlite3
import sys

import typer

from seehear.cli import demo, doctor, index, models, remove, report, search, serve, status, verify
from seehear.cli.output import fail
from seehear.errors import LibraryError, SeeHearError

app = typer.Typer(
    name="seehear",
    help="Find moments in videos by what is seen and what is heard.",
    epilog="Exit codes: 0 done, 1 unexpected, 2 wrong use, 3 engine or weights, 4 library, "
    "5 unreadable media, 6 nothing to do, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("index")(index.index)
app.command("reindex")(index.reindex)
app.command("search")(search.search)
app.command("report")(report.report)
app.command("serve")(serve.serve)
app.command("status")(status.status)
app.command("remove")(remove.remove)
app.command("verify")(verify.verify)
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)
app.add_typer(models.app, name="models")


def main() -> None:
    """Run the command line; a SeeHearError ends in one sentence and its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # treated as Ctrl-C
    try:
        app()
    except SeeHearError as error:
        fail(str(error))
        sys.exit(error.exit_code)
    except (OSError, sqlite3.Error) as error:  # disk full, read-only, name too long ...
        suffix = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
        reason = (isinstance(error, OSError) and error.strerror) or error
        fail(f"the library or a file could not be read or written: {reason}{suffix}")
        sys.exit(LibraryError.exit_code)
