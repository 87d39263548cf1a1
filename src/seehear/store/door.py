"""Who may come in: the lock of the only writer of this machine, and its journal."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from filelock import FileLock, Timeout

from seehear.errors import LibraryError
from seehear.store.folder import QUARANTINE
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
