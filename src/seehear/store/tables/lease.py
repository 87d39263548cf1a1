"""Writer lease on S3: a table without rows, whose versions record the current writer.

Lance commits a version only if no one else did (a conditional PUT), so that of two writers one is
refused. A writer that dies stops renewing its lease; after EXPIRES_S, by the server's clock,
another can acquire it.
"""

from __future__ import annotations

import os
import socket
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from seehear.errors import LibraryError
from seehear.store.backend import S3Backend
from seehear.store.backend.protocol import LEASE, Backend

if TYPE_CHECKING:
    from seehear.store.tables.lance import Dataset

EXPIRES_S = 60.0
RENEW_S = 15.0
RACERS, ROUNDS = 8, 2  # to test conditional writes of a new server


def lease_for(backend: Backend) -> Lease | None:
    """Return the lease of a backend that other machines can write to, else None."""
    return Lease(backend) if isinstance(backend, S3Backend) else None


class Lease:
    """Acquired by one writer, renewed in the background, checked before every commit."""

    def __init__(self, backend: S3Backend) -> None:
        self._backend = backend
        self._version = 0  # of the table, committed by this writer; 0 without the lease
        self._lock = threading.Lock()
        self._end = threading.Event()

    def create(self) -> None:
        """Create the table, and test with concurrent writers that conditional writes work.

        Raises: LibraryError if the server lets two of them commit the same version.
        """
        import lance
        import pyarrow as pa

        columns = pa.schema({"none": pa.bool_()})
        uri, options = self._backend.table_uri(LEASE), self._backend.lance_options
        self._backend.client.request(
            lambda: lance.write_dataset(columns.empty_table(), uri, storage_options=options)
        )
        for _ in range(ROUNDS):
            version = self._latest().version
            start = threading.Barrier(RACERS)
            with ThreadPoolExecutor(RACERS) as pool:
                won = sum(pool.map(partial(self._race, version, start), range(RACERS)))
            if won != 1:
                self._backend.delete_folder(LEASE)
                raise LibraryError(
                    f"the server of '{self._backend.root}' ignores conditional writes "
                    "(If-None-Match), so that two writers could overwrite each other's data; use "
                    "a server that supports them, e.g. AWS S3, MinIO, SeaweedFS"
                )

    def _race(self, version: int, start: threading.Barrier, number: int) -> bool:
        start.wait()
        return self._commit(version, owner=f"racer {number}", held="") > 0

    def acquire(self) -> bool:
        """Become the writer; return whether another machine had the lease since this one did.

        Raises: LibraryError while another machine has it.
        """
        latest = self._latest()
        holder = _holder(latest)
        is_mine = holder.get("owner") == self._owner()
        if holder.get("held") and not is_mine and self._age_s(latest.version) < EXPIRES_S:
            raise LibraryError(self._refusal(holder))
        self._version = self._commit(latest.version, owner=self._owner(), held="yes")
        if not self._version:
            raise LibraryError(self._refusal(_holder(self._latest())))
        with suppress(OSError):  # optional: the next writer removes what is left
            latest.cleanup_old_versions(older_than=timedelta(hours=1), delete_unverified=True)
        self._end.clear()
        threading.Thread(target=self._keep_renewing, daemon=True, name="seehear-lease").start()
        return not is_mine

    def renew(self) -> None:
        """Extend the lease. Raises: LibraryError if it was lost."""
        with self._lock:
            if self._version:
                self._version = self._commit(self._version, owner=self._owner(), held="yes")
            if not self._version:
                raise LibraryError(
                    f"another machine has become the writer of '{self._backend.root}', because "
                    "this one did not renew its lease in time; run the same command again to "
                    "continue"
                )

    def release(self) -> None:
        """Let other machines write at once; the last version still records this writer."""
        self._end.set()
        with self._lock, suppress(LibraryError):  # a lease that cannot be released expires
            if self._version:
                self._commit(self._version, owner=self._owner(), held="")
        self._version = 0

    def _keep_renewing(self) -> None:
        while not self._end.wait(RENEW_S):
            with suppress(LibraryError):  # the next commit raises it
                self.renew()

    def _commit(self, version: int, **body: str) -> int:
        """Add a version after another one; return its number, or 0 if another writer was first."""
        import lance
        from lance.commit import CommitConflictError
        from lance.dataset import LanceOperation, Transaction

        nonce = uuid.uuid4().hex
        body |= {"host": socket.gethostname(), "pid": str(os.getpid()), "nonce": nonce}
        transaction = Transaction(
            read_version=version,
            operation=LanceOperation.Overwrite(self._latest().schema, []),
            transaction_properties=body,
        )
        uri, options = self._backend.table_uri(LEASE), self._backend.lance_options

        def commit() -> int:
            try:
                after = lance.LanceDataset.commit(
                    uri, transaction, storage_options=options, max_retries=0
                )
                return after.version
            except CommitConflictError:
                latest = self._latest()  # a first attempt may have succeeded, its response lost
                return latest.version if _holder(latest).get("nonce") == nonce else 0

        return self._backend.client.request(commit)

    def _latest(self) -> Dataset:
        import lance

        uri, options = self._backend.table_uri(LEASE), self._backend.lance_options
        return self._backend.client.request(lambda: lance.dataset(uri, storage_options=options))

    def _age_s(self, version: int) -> float:
        return self._backend.age_s(self._backend.manifests(LEASE)[version])

    def _owner(self) -> str:
        """Return a random name for the journal of this machine, made once."""
        file = self._backend.local_dir / "owner"
        if not file.exists():
            file.write_text(uuid.uuid4().hex, encoding="ascii")
        return file.read_text(encoding="ascii")

    def _refusal(self, holder: dict[str, Any]) -> str:
        return (
            f"another machine ({holder.get('host', 'unknown')}, pid {holder.get('pid', '?')}) is "
            f"indexing into '{self._backend.root}'; wait for it or stop it (if it crashed, its "
            f"lease expires after {EXPIRES_S:.0f} s)"
        )


def _holder(latest: Dataset) -> dict[str, Any]:
    transaction = latest.read_transaction(latest.version)
    return dict((transaction and transaction.transaction_properties) or {})
