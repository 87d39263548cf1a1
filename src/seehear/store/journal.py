"""The ingest journal: batches on their way into the tables, and the files that were looked at.

SQLite beside the tables, derived state only: losing it costs a re-scan of the files.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

KEPT_BATCHES = 32  # finished batches kept, so that a lost head manifest can be written again
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
class Step:
    """One commit to one table: rows to add (fragments as JSON) and rows to delete (SQL)."""

    table: str
    fragments: Sequence[str] = ()
    delete: str = ""
    undo: str = ""  # rows to delete (SQL) where the batch is given up
    version: int = 0  # 0 until known to be committed


@dataclass(kw_only=True)
class Batch:
    """Steps that belong together; `files` are the sizes of the data files they need."""

    id: int
    steps: list[Step]
    files: dict[str, int] = field(default_factory=dict[str, int])
    is_done: bool = False


@dataclass(frozen=True, kw_only=True)
class FileRow:
    """What is remembered of a file that an ingest looked at."""

    path: str
    size_bytes: int
    mtime_us: int
    sha256: str
    state: Literal["ok", "failed"]
    error: str = ""


class Journal:
    """Reads and writes `journal.sqlite` below a library's root.

    Read, a missing or damaged one is empty: it holds nothing that a re-scan does not give.
    """

    def __init__(self, root: Path, *, write: bool) -> None:
        path = root / FILE_NAME
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

    def seen(self, path: str) -> FileRow | None:
        """What is remembered of a path."""
        return next(self._files("WHERE path = ?", path), None)

    def known(self, path: str, size_bytes: int, mtime_us: int) -> FileRow | None:
        """What is remembered of a path, if size and time are still the same."""
        row = self.seen(path)
        return row if row and (row.size_bytes, row.mtime_us) == (size_bytes, mtime_us) else None

    def failed(self) -> list[FileRow]:
        """Files that could not be indexed, by path, with the reason."""
        return list(self._files("WHERE state = 'failed' ORDER BY path"))

    def record(self, row: FileRow) -> None:
        """Remember a file; the same path replaces."""
        values = (row.path, row.size_bytes, row.mtime_us, row.sha256, row.state, row.error)
        self._db.execute("INSERT OR REPLACE INTO files VALUES (?,?,?,?,?,?)", values)

    def forget(self, paths: Sequence[str]) -> None:
        """Look at these files again next time."""
        self._db.executemany("DELETE FROM files WHERE path = ?", [(path,) for path in paths])

    def forget_unless(self, sha256s: set[str]) -> None:
        """Look again at every file that counts as indexed but whose content is not among these."""
        lost = [row.path for row in self._files("WHERE state = 'ok'") if row.sha256 not in sha256s]
        self.forget(lost)

    def batches(self) -> list[Batch]:
        """Unfinished batches and the newest finished ones, oldest first."""
        rows = self._db.execute("SELECT id, steps, files, is_done FROM batches ORDER BY id")
        return [
            Batch(
                id=batch_id,
                steps=[Step(**step) for step in json.loads(steps)],
                files=json.loads(files),
                is_done=bool(is_done),
            )
            for batch_id, steps, files, is_done in rows
        ]

    def save(self, batch: Batch) -> None:
        """Keep a batch durably, and let go of old finished ones."""
        steps = json.dumps([asdict(step) for step in batch.steps])
        values = (batch.id, steps, json.dumps(batch.files), batch.is_done)
        self._db.execute("INSERT OR REPLACE INTO batches VALUES (?,?,?,?)", values)
        if batch.is_done:
            newest = "SELECT id FROM batches WHERE is_done ORDER BY id DESC LIMIT ?"
            self._db.execute(
                f"DELETE FROM batches WHERE is_done AND id NOT IN ({newest})", (KEPT_BATCHES,)
            )

    def drop(self, batch: Batch) -> None:
        """Give up a batch."""
        self._db.execute("DELETE FROM batches WHERE id = ?", (batch.id,))

    def writer_pid(self) -> int | None:
        """Process that last opened the library for writing."""
        row = self._db.execute("SELECT pid FROM writer").fetchone()
        return row[0] if row else None

    def set_writer_pid(self, pid: int) -> None:
        """Tell others who holds the lock."""
        self._db.execute("DELETE FROM writer")
        self._db.execute("INSERT INTO writer VALUES (?)", (pid,))

    def close(self) -> None:
        """Let go of the database file."""
        self._db.close()

    def _files(self, where: str, *values: str) -> Iterator[FileRow]:
        rows = self._db.execute(
            f"SELECT path, size_bytes, mtime_us, sha256, state, error FROM files {where}", values
        )
        for path, size_bytes, mtime_us, sha256, state, error in rows.fetchall():
            yield FileRow(
                path=path,
                size_bytes=size_bytes,
                mtime_us=mtime_us,
                sha256=sha256,
                state=state,
                error=error,
            )


def _is_database(path: Path) -> bool:
    """Whether SQLite can read a file and finds no damage at its head."""
    if not path.exists():
        return False
    try:
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=30)
        with closing(db):
            db.execute("SELECT count(*) FROM files").fetchone()
    except sqlite3.DatabaseError as error:
        return isinstance(error, sqlite3.OperationalError) and "no such table" not in str(error)
    return True
