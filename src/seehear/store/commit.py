"""The one committer: batches through the journal into the tables, and recovery after a crash.

stage files -> journal the batch -> commit its steps in order -> mark it done. Every stage is
durable before the next begins, so a batch is finished at the next start or was never seen.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seehear.store import disk, tables
from seehear.store.journal import Batch, Journal, Step

if TYPE_CHECKING:
    import lance
    import pyarrow as pa

QUARANTINE = "quarantine"


class Committer:
    """Writes batches; the holder of the library's lock owns the only one."""

    def __init__(self, root: Path, journal: Journal) -> None:
        self.root = root
        self.journal = journal
        self._heads: dict[str, lance.LanceDataset] = {}
        self._last = max((batch.id for batch in journal.batches()), default=0)
        self.is_unsure = True  # until recovered, and while a batch is under way

    def next_id(self, *, above: int = 0) -> int:
        """Number of the next batch, also the revision of its rows; only grows."""
        self._last = max(time.time_ns() // 1000, self._last + 1, above + 1)
        return self._last

    def run(self, steps: Sequence[tuple[Step, pa.Table | None]], batch_id: int) -> None:
        """Commit rows and deletions as one batch, durable on return; one step per table at most."""
        self.is_unsure = True
        files: dict[str, int] = {}
        for step, rows in steps:
            if rows is not None and rows.num_rows:
                path = tables.table_path(self.root, step.table)
                step.fragments, sizes = tables.stage(path, rows)
                files |= sizes
        batch = self.begin([step for step, _ in steps], files, batch_id)
        self._finish(batch, batch.steps)
        self.is_unsure = False

    def begin(self, steps: Sequence[Step], files: dict[str, int], batch_id: int) -> Batch:
        """Promise a batch: from here on a crash finishes it."""
        batch = Batch(id=batch_id, steps=list(steps), files=files)
        self.journal.save(batch)
        return batch

    def recover(self) -> list[str]:
        """Put every table back to a readable head and finish or give up begun batches.

        Returns what was done, in words.
        """
        done: list[str] = []
        self._heads.clear()
        for path in sorted(self.root.glob("*/_versions")):
            done += self._quarantine(path.parent)
        for batch in self.journal.batches():
            lost = [step for step in batch.steps if self._is_lost(step, batch.id)]
            if not lost and batch.is_done:
                continue
            if self._has_files(batch) or not any(step.fragments for step in lost):
                self._finish(batch, lost)
                done.append(f"finished batch {batch.id}")
            else:
                self._give_up(batch)
                done.append(f"gave up batch {batch.id}: its files are incomplete")
        self.is_unsure = False
        return done

    def head(self, table: str) -> lance.LanceDataset:
        """Newest version of a table, kept open between batches."""
        if table not in self._heads:
            path = tables.table_path(self.root, table)
            self._heads[table], _ = tables.open_table(path)
        return self._heads[table]

    def moved(self, table: str) -> None:
        """Forget an open table that was changed or dropped by other means than a batch."""
        self._heads.pop(table, None)

    def _finish(self, batch: Batch, steps: Sequence[Step]) -> None:
        for step in steps:
            path = tables.table_path(self.root, step.table)
            self._heads[step.table] = tables.commit(path, self.head(step.table), step, batch.id)
            step.version = self._heads[step.table].version
        batch.is_done = True
        self.journal.save(batch)

    def _is_lost(self, step: Step, batch_id: int) -> bool:
        if not tables.manifests(tables.table_path(self.root, step.table)):
            return False  # the table of a model that was dropped since
        head = self.head(step.table)
        return step.version > head.version if step.version else not tables.has_batch(head, batch_id)

    def _has_files(self, batch: Batch) -> bool:
        files = ((self.root / name, size) for name, size in batch.files.items())
        return all(file.is_file() and file.stat().st_size == size for file, size in files)

    def _give_up(self, batch: Batch) -> None:
        self.journal.drop(batch)
        for step in batch.steps:
            path = tables.table_path(self.root, step.table)
            sweep = Step(table=step.table, delete=f"rev = {batch.id}")
            self._heads[step.table] = tables.commit(path, self.head(step.table), sweep, batch.id)

    def _quarantine(self, path: Path) -> list[str]:
        _, torn = tables.open_table(path)
        folder = self.root / QUARANTINE / path.name
        for manifest in torn:
            folder.mkdir(parents=True, exist_ok=True)
            manifest.rename(folder / f"{time.time_ns()}-{manifest.name}")
        if torn:
            disk.sync_files([*disk.tree(folder), *disk.tree(path)])
        return [f"put aside {len(torn)} unreadable version(s) of table {path.name}"] * bool(torn)
