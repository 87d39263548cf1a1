"""File lock of the only writer on this machine, and the journal that it protects."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from filelock import FileLock, Timeout

from seehear.errors import LibraryError
from seehear.store.backend.journal import FILE_NAME, Journal
from seehear.store.backend.local import QUARANTINE

LOCK = "writer.lock"


def acquire_file_lock(folder: Path) -> FileLock:
    """Acquire the lock of the only writer.

    Raises: LibraryError naming the process that has it.
    """
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        pid = Journal(folder, write=False).writer_pid()
        raise LibraryError(
            f"another process (pid {pid}) is indexing into this library; wait for it or stop it"
        ) from error
    return lock


def open_journal(folder: Path) -> Journal:
    """Open the journal for writing; a damaged one is quarantined and replaced by an empty one."""
    try:
        return Journal(folder, write=True)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        quarantine = folder / QUARANTINE / str(time.time_ns())
        quarantine.mkdir(parents=True)
        for file in folder.glob(FILE_NAME + "*"):  # derived data: the next ingest rescans the files
            file.rename(quarantine / file.name)
        return Journal(folder, write=True)
