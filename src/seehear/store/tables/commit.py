"""The committer: commits batches of table changes through the journal, and recovers after a crash.

Write fragments, save the batch in the journal, commit its changes in order, mark it as done. Each
step is durable before the next, so the next start either finishes a batch or finds no trace of it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from seehear.store.backend.journal import Batch, Journal, TableChange
from seehear.store.backend.protocol import Backend
from seehear.store.tables.lance import (
    bump_version,
    commit_change,
    has_batch,
    open_table,
    write_fragments,
)
from seehear.store.tables.lease import Lease

if TYPE_CHECKING:
    import pyarrow as pa

    from seehear.store.tables.lance import Dataset


class Committer:
    """Commits batches; the process with the writer lock has the only one."""

    def __init__(self, backend: Backend, journal: Journal, lease: Lease | None = None) -> None:
        self.backend = backend
        self.journal = journal
        self._lease = lease
        self._tables: dict[str, Dataset] = {}
        self._last_id = max((batch.id for batch in journal.batches()), default=0)
        self.needs_recovery = True  # at the start, and after a batch that failed

    def next_id(self, *, above: int = 0) -> int:
        """Return the id of the next batch, which is also the revision of its rows; increasing."""
        self._last_id = max(time.time_ns() // 1000, self._last_id + 1, above + 1)
        return self._last_id

    def commit(
        self,
        changes: Sequence[tuple[TableChange, pa.Table | None]],
        batch_id: int,
        files: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """Commit changes, with the rows to add, as one batch; durable on return.

        At most one change per table. `files` are the sizes of the files of fragments that were
        written before.
        """
        self.needs_recovery = True
        sizes = dict(files)
        for change, rows in changes:
            if rows is not None and rows.num_rows:
                change.fragments, written = write_fragments(self.backend, change.table, rows)
                sizes |= written
        batch = self.begin([change for change, _ in changes], sizes, batch_id)
        self._finish(batch, batch.changes)
        self.needs_recovery = False

    def begin(self, changes: Sequence[TableChange], files: dict[str, int], batch_id: int) -> Batch:
        """Save a batch in the journal; after a crash from here on, `recover` commits it."""
        batch = Batch(id=batch_id, changes=list(changes), files=files)
        self.journal.save_batch(batch)
        return batch

    def recover(self, *, is_stale: bool = False) -> bool:
        """Restore readable tables, and commit or roll back unfinished batches.

        With `is_stale`, another machine may have written since: batches of the journal are
        dropped, as their rows are either complete or invisible, and every table gets a new version,
        so that a paused writer cannot commit any more. Returns whether anything was repaired.
        """
        is_repaired = False
        self._tables.clear()
        for table in self.backend.latest_versions():
            is_repaired |= self._quarantine(table)
            if is_stale:
                bump_version(self.backend, table)
        for batch in self.journal.batches():
            if is_stale:
                self.journal.delete_batch(batch)
                continue
            missing = [change for change in batch.changes if self._is_missing(change, batch.id)]
            if not missing and batch.is_done:
                continue
            is_repaired = True
            if self._has_files(batch) or not any(change.fragments for change in missing):
                self._finish(batch, missing)
            else:
                self._roll_back(batch)
        self.needs_recovery = False
        return is_repaired

    def table(self, name: str) -> Dataset:
        """Return the latest version of a table, kept open between batches."""
        if name not in self._tables:
            self._tables[name], _ = open_table(self.backend, name)
        return self._tables[name]

    def invalidate(self, table: str) -> None:
        """Reopen a table when it is next used; call this after changes outside a batch."""
        self._tables.pop(table, None)

    def check_lease(self) -> None:
        """Raises: LibraryError if another machine has become the writer."""
        if self._lease:
            self._lease.renew()

    def _finish(self, batch: Batch, changes: Sequence[TableChange]) -> None:
        self.check_lease()
        for change in changes:
            change.version = self._commit(change, batch.id)
        batch.is_done = True
        self.journal.save_batch(batch)

    def _commit(self, change: TableChange, batch_id: int) -> int:
        before = self.table(change.table)
        after = commit_change(self.backend, before, change, batch_id, self.check_lease)
        self._tables[change.table] = after
        return after.version

    def _is_missing(self, change: TableChange, batch_id: int) -> bool:
        if not self.backend.manifests(change.table):
            return False  # the table of an engine that was replaced since
        latest = self.table(change.table)
        if change.version:
            return change.version > latest.version
        return not has_batch(latest, batch_id)

    def _has_files(self, batch: Batch) -> bool:
        sizes = self.backend.file_sizes
        return all(sizes(name).get(name) == size for name, size in batch.files.items())

    def _roll_back(self, batch: Batch) -> None:
        self.journal.delete_batch(batch)
        for change in batch.changes:
            if change.undo:
                self._commit(TableChange(table=change.table, delete=change.undo), batch.id)

    def _quarantine(self, table: str) -> bool:
        _, torn = open_table(self.backend, table)
        if torn:
            self.backend.quarantine(table, torn)
        return bool(torn)
