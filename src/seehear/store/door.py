"""Who may come in: the writer's lock, and folders that are, or may become, a library."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from filelock import FileLock, Timeout

from seehear.errors import LibraryError
from seehear.store import schema
from seehear.store.commit import QUARANTINE
from seehear.store.journal import FILE_NAME, Journal

LOCK = "writer.lock"


def locked(root: Path) -> FileLock:
    """The lock of the only writer.

    Raises: LibraryError naming the process that holds it.
    """
    lock = FileLock(root / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        pid = Journal(root, write=False).writer_pid()
        raise LibraryError(
            f"another process (pid {pid}) is indexing into this library; wait for it or stop it"
        ) from error
    return lock


def journal(root: Path) -> Journal:
    """The journal for writing; one that is no database any more is put aside for a new one."""
    try:
        return Journal(root, write=True)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        aside = root / QUARANTINE / str(time.time_ns())
        aside.mkdir(parents=True)
        for file in root.glob(FILE_NAME + "*"):  # derived state: only a re-scan is lost
            file.rename(aside / file.name)
        return Journal(root, write=True)


def refuse_taken(root: Path) -> None:
    """Raises: LibraryError if a folder holds anything already."""
    if (root / schema.CATALOG).is_dir():
        raise LibraryError(f"'{root}' is already a library; open it, or choose another folder")
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise LibraryError(
            f"'{root}' is not an empty folder; a library needs one of its own, choose another"
        )


def refuse_strange(root: Path) -> None:
    """Raises: LibraryError if there is no library in a folder."""
    if (root / schema.CATALOG).is_dir():
        return
    if not root.is_dir() or not any(root.iterdir()):
        reason = f"there is no library at '{root}'; index a folder of videos into it first"
    elif (root / schema.VIDEOS).is_dir():
        reason = (
            f"the library '{root}' lacks its catalog (its creation was cut off, or files were "
            "lost); delete the folder and index the videos again"
        )
    else:
        reason = f"'{root}' is a folder of something else; give the folder of a library"
    raise LibraryError(reason)
