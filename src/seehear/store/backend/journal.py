"""SQLite journal of an ingest: batches being committed, and the files that were read.

It is stored outside the tables and holds derived data only: without it the next ingest rescans the
files.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

KEPT_BATCHES = 32  # committed batches kept, to repeat commits whose manifest was lost
FILE_NAME = "journal.sqlite"

SCHEMA = """
CREATE TABLE IF NOT EXISTS batches (
    id INTEGER PRIMARY KEY, steps TEXT NOT NULL, files TEXT NOT NULL, is_done INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY, size_bytes INTEGER NOT NULL, mtime_us INTEGER NOT NULL,
    sha256 TEXT NOT NULL, state TEXT NOT NULL, error TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS writer (pid INTEGER NOT NULL);
"""


@dataclass(kw_only=True)
class TableChange:
    """One commit to one table; field names are stored in the journal."""

    table: str
    fragments: Sequence[str] = ()  # rows to add: Lance fragments as JSON
    delete: str = ""  # rows to delete: an SQL condition
    undo: str = ""  # rows to delete if the batch is rolled back: an SQL condition
    version: int = 0  # version of the table with this change; 0 until committed


@dataclass(kw_only=True)
class Batch:
    """Changes that are committed together; `files` are the sizes of the data files they need."""

    id: int
    changes: list[TableChange]
    files: dict[str, int] = field(default_factory=dict[str, int])
    is_done: bool = False


@dataclass(frozen=True, kw_only=True)
class FileRow:
    """A file that an ingest has read, and the outcome."""

    path: str
    size_bytes: int
    mtime_us: int
    sha256: str
    state: Literal["ok", "failed"]
    error: str = ""


class Journal:
    """`journal.sqlite` in a folder. Opened for reading, a missing or damaged one is empty."""

    def __init__(self, folder: Path, *, write: bool) -> None:
        path = folder / FILE_NAME
        if not write and not _is_database(path):
            self._db = sqlite3.connect(":memory:", check_same_thread=False)
            self._db.executescript(SCHEMA)
            return
        mode = "rwc" if write else "ro"
        self._db = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode={mode}",
            uri=True,
            timeout=30,
            check_same_thread=False,
            isolation_level=None,
        )
        if write:
            self._db.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; {SCHEMA}")

    def find(self, path: str) -> FileRow | None:
        """Return the row of a path."""
        return next(self._files("WHERE path = ?", path), None)

    def find_unchanged(self, path: str, size_bytes: int, mtime_us: int) -> FileRow | None:
        """Return the row of a path if size and modification time are the same."""
        row = self.find(path)
        return row if row and (row.size_bytes, row.mtime_us) == (size_bytes, mtime_us) else None

    def failed(self) -> list[FileRow]:
        """Return the files that could not be indexed, by path."""
        return list(self._files("WHERE state = 'failed' ORDER BY path"))

    def record(self, row: FileRow) -> None:
        """Insert a row; an existing row of the same path is replaced."""
        values = (row.path, row.size_bytes, row.mtime_us, row.sha256, row.state, row.error)
        self._db.execute("INSERT OR REPLACE INTO files VALUES (?,?,?,?,?,?)", values)

    def forget(self, paths: Sequence[str]) -> None:
        """Delete the rows of these paths, so that the next ingest reads the files again."""
        self._db.executemany("DELETE FROM files WHERE path = ?", [(path,) for path in paths])

    def forget_except(self, sha256s: set[str]) -> None:
        """Delete the rows of indexed files whose content is not among these."""
        lost = [row.path for row in self._files("WHERE state = 'ok'") if row.sha256 not in sha256s]
        self.forget(lost)

    def batches(self) -> list[Batch]:
        """Return uncommitted batches and the newest committed ones, oldest first."""
        rows = self._db.execute("SELECT id, steps, files, is_done FROM batches ORDER BY id")
        return [
            Batch(
                id=batch_id,
                changes=[TableChange(**change) for change in json.loads(changes)],
                files=json.loads(files),
                is_done=bool(is_done),
            )
            for batch_id, changes, files, is_done in rows
        ]

    def save_batch(self, batch: Batch) -> None:
        """Store a batch durably, and delete old committed ones."""
        changes = json.dumps([asdict(change) for change in batch.changes])
        values = (batch.id, changes, json.dumps(batch.files), batch.is_done)
        self._db.execute("INSERT OR REPLACE INTO batches VALUES (?,?,?,?)", values)
        if batch.is_done:
            newest = "SELECT id FROM batches WHERE is_done ORDER BY id DESC LIMIT ?"
            self._db.execute(
                f"DELETE FROM batches WHERE is_done AND id NOT IN ({newest})", (KEPT_BATCHES,)
            )

    def delete_batch(self, batch: Batch) -> None:
        """Delete a batch; its changes are not committed again."""
        self._db.execute("DELETE FROM batches WHERE id = ?", (batch.id,))

    def writer_pid(self) -> int | None:
        """Return the process that last opened the library for writing."""
        row = self._db.execute("SELECT pid FROM writer").fetchone()
        return row[0] if row else None

    def set_writer_pid(self, pid: int) -> None:
        """Record the process that has the writer lock."""
        self._db.execute("DELETE FROM writer")
        self._db.execute("INSERT INTO writer VALUES (?)", (pid,))

    def close(self) -> None:
        """Close the database file."""
        self._db.close()

    def _files(self, where: str, *values: str) -> Iterator[FileRow]:
        columns = "path, size_bytes, mtime_us, sha256, state, error"
        rows = self._db.execute(f"SELECT {columns} FROM files {where}", values)
        names = columns.split(", ")
        for row in rows.fetchall():
            yield FileRow(**dict(zip(names, row, strict=True)))


def _is_database(path: Path) -> bool:
    """Whether SQLite can open a file and finds no damage in its header."""
    if not path.exists():
        return False
    try:
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=30)
        with closing(db):
            db.execute("SELECT count(*) FROM files").fetchone()
    except sqlite3.DatabaseError as error:
        return isinstance(error, sqlite3.OperationalError) and "no such table" not in str(error)
    return True
