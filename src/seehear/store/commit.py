"""The one committer: batches through the journal into the tables, and recovery after a crash.

stage files -> journal the batch -> commit its steps in order -> mark it done. Every stage is
durable before the next begins, so a batch is finished at the next start or was never seen.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from seehear.store import tables
from seehear.store.journal import Batch, Journal, Step
from seehear.store.place import Place

if TYPE_CHECKING:
    import lance
    import pyarrow as pa


class Committer:
    """Writes batches; the holder of the library's lock owns the only one."""

    def __init__(self, place: Place, journal: Journal) -> None:
        self.place = place
        self.journal = journal
        self._heads: dict[str, lance.LanceDataset] = {}
        self._last = max((batch.id for batch in journal.batches()), default=0)
        self.is_unsure = True  # until recovered, and while a batch is under way

    def next_id(self, *, above: int = 0) -> int:
        """Number of the next batch, also the revision of its rows; only grows."""
        self._last = max(time.time_ns() // 1000, self._last + 1, above + 1)
        return self._last

    def run(
        self,
        steps: Sequence[tuple[Step, pa.Table | None]],
        batch_id: int,
        laid: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """Commit rows and deletions as one batch, durable on return; one step per table at most.

        `laid` are the sizes of the files of fragments that steps bring along.
        """
        self.is_unsure = True
        files = dict(laid)
        for step, rows in steps:
            if rows is not None and rows.num_rows:
                step.fragments, sizes = tables.stage(self.place, step.table, rows)
                files |= sizes
        batch = self.begin([step for step, _ in steps], files, batch_id)
        self._finish(batch, batch.steps)
        self.is_unsure = False

    def begin(self, steps: Sequence[Step], files: dict[str, int], batch_id: int) -> Batch:
        """Promise a batch: from here on a crash finishes it."""
        batch = Batch(id=batch_id, steps=list(steps), files=files)
        self.journal.save(batch)
        return batch

    def recover(self, *, is_stale: bool = False) -> list[str]:
        """Put every table back to a readable head and finish or give up begun batches.

        When another writer may have come in between (`is_stale`), begun batches are forgotten:
        what they left is either whole or invisible; and that writer, should it only have been
        paused, can commit no more. Returns what was done, in words.
        """
        done: list[str] = []
        self._heads.clear()
        for table in self.place.heads():
            done += self._quarantine(table)
            if is_stale:
                tables.fence(self.place, table)
        for batch in self.journal.batches():
            if is_stale:
                self.journal.drop(batch)
                continue
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
            self._heads[table], _ = tables.open_table(self.place, table)
        return self._heads[table]

    def moved(self, table: str) -> None:
        """Forget an open table that was changed or dropped by other means than a batch."""
        self._heads.pop(table, None)

    def _finish(self, batch: Batch, steps: Sequence[Step]) -> None:
        self.place.check()
        for step in steps:
            head = self.head(step.table)
            self._heads[step.table] = tables.commit(self.place, head, step, batch.id)
            step.version = self._heads[step.table].version
        batch.is_done = True
        self.journal.save(batch)

    def _is_lost(self, step: Step, batch_id: int) -> bool:
        if not self.place.manifests(step.table):
            return False  # the table of a model that was dropped since
        head = self.head(step.table)
        return step.version > head.version if step.version else not tables.has_batch(head, batch_id)

    def _has_files(self, batch: Batch) -> bool:
        return all(self.place.files(name).get(name) == size for name, size in batch.files.items())

    def _give_up(self, batch: Batch) -> None:
        self.journal.drop(batch)
        for step in batch.steps:
            if not step.undo:
                continue
            sweep, head = Step(table=step.table, delete=step.undo), self.head(step.table)
            self._heads[step.table] = tables.commit(self.place, head, sweep, batch.id)

    def _quarantine(self, table: str) -> list[str]:
        _, torn = tables.open_table(self.place, table)
        if torn:
            self.place.put_aside(table, torn)
        return [f"put aside {len(torn)} unreadable version(s) of table {table}"] * bool(torn)
