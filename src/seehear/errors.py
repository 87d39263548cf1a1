"""Errors that a user can cause: one clear sentence and a stable exit code each.

SeeHearError             1
├── UsageError           2   a wrong argument, option or path
├── ModelError           3   engine or weights missing, incomplete, changed, or of another library
├── LibraryError         4   library missing, foreign, damaged, locked, or on a refused file system
├── MediaError           5   a file that cannot be read as picture or sound
└── NothingDoneError     6   the command was valid but there was nothing to do

The functions below format parts of messages.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class SeeHearError(Exception):
    """Base of all errors that are shown to the user as one sentence; `exit_code` is stable."""

    exit_code = 1


class UsageError(SeeHearError):
    """A wrong argument, option or path."""

    exit_code = 2


class ModelError(SeeHearError):
    """An engine or its weights are missing, incomplete, changed, or of another library."""

    exit_code = 3


class LibraryError(SeeHearError):
    """The library is missing, foreign, damaged, locked, or on a network file system."""

    exit_code = 4


class MediaError(SeeHearError):
    """A file that cannot be read as picture or sound; while indexing, a row of the report."""

    exit_code = 5


class NothingDoneError(SeeHearError):
    """The command was valid but there was nothing to do, e.g. no readable file in a folder."""

    exit_code = 6


def counted(count: int, noun: str) -> str:
    """A count with its noun: "1 file", "2 files"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def listed(names: Iterable[str], *, most: int = 5) -> str:
    """The first names for a message, e.g. "a, b and 3 more"."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def suggest(wrong: str, known: Iterable[str]) -> str:
    """End of an error about an unknown name: the nearest known name, then all of them."""
    names = sorted(known)
    near = get_close_matches(wrong, names, n=1)
    return (f"; did you mean {near[0]!r}?" if near else ";") + f" Known: {', '.join(names)}"


def shorten(error: BaseException, *, most: int = 200) -> str:
    """The message of an error of another library, on one line of at most `most` characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= most else f"{text[:most]} ..."
