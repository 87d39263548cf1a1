"""The right to write below a prefix: a table without rows whose every version has one author.

Lance commits a version only if nobody else did (a conditional PUT), so that of two writers one is
refused. A holder that dies stops renewing; after EXPIRES_S, by the server's clock, another may
take over.
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

if TYPE_CHECKING:
    import lance

    from seehear.store.bucket import Bucket

NAME = "writer"
EXPIRES_S = 60.0
RENEW_S = 15.0
RACERS, ROUNDS = 8, 2


class Lease:
    """Taken by one writer, renewed in the background, checked before every commit."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._version = 0  # that this writer made; 0 while it holds nothing
        self._lock = threading.Lock()
        self._end = threading.Event()

    def create(self) -> None:
        """Make the table, and let writers race for it.

        Raises: LibraryError if the server lets two of them win.
        """
        import lance
        import pyarrow as pa

        columns = pa.schema({"none": pa.bool_()})
        uri, options = self._bucket.uri(NAME), self._bucket.options
        self._bucket.ask(
            lambda: lance.write_dataset(columns.empty_table(), uri, storage_options=options)
        )
        for _ in range(ROUNDS):
            version = self._head().version
            start = threading.Barrier(RACERS)
            with ThreadPoolExecutor(RACERS) as pool:
                won = sum(pool.map(partial(self._race, version, start), range(RACERS)))
            if won != 1:
                self._bucket.drop(NAME)
                raise LibraryError(
                    f"the server of '{self._bucket.root}' ignores conditional writes "
                    "(If-None-Match), so that two writers could destroy each other's work; use "
                    "one that honours them, e.g. AWS S3, MinIO, SeaweedFS"
                )

    def _race(self, version: int, start: threading.Barrier, number: int) -> bool:
        start.wait()
        return self._put(version, owner=f"racer {number}", held="") > 0

    def take(self) -> bool:
        """Become the writer; whether another one held the lease since this machine did.

        Raises: LibraryError while another machine holds it.
        """
        head = self._head()
        holder = _holder(head)
        is_mine = holder.get("owner") == self._owner()
        if holder.get("held") and not is_mine and self._age_s(head.version) < EXPIRES_S:
            raise LibraryError(self._refusal(holder))
        self._version = self._put(head.version, owner=self._owner(), held="yes")
        if not self._version:
            raise LibraryError(self._refusal(_holder(self._head())))
        with suppress(OSError):  # a chore; what is left waits for the next writer
            head.cleanup_old_versions(older_than=timedelta(hours=1), delete_unverified=True)
        self._end.clear()
        threading.Thread(target=self._keep, daemon=True, name="seehear-lease").start()
        return not is_mine

    def renew(self) -> None:
        """Raises: LibraryError if the lease was lost."""
        with self._lock:
            if self._version:
                self._version = self._put(self._version, owner=self._owner(), held="yes")
            if not self._version:
                raise LibraryError(
                    f"another machine has become the writer of '{self._bucket.root}', since this "
                    "one was not heard of for too long; run the same command again to go on"
                )

    def give_back(self) -> None:
        """Let others write at once; the last version tells who wrote last."""
        self._end.set()
        with self._lock, suppress(LibraryError):  # a lease that cannot be given back expires
            if self._version:
                self._put(self._version, owner=self._owner(), held="")
        self._version = 0

    def _keep(self) -> None:
        while not self._end.wait(RENEW_S):
            with suppress(LibraryError):  # the writer learns it at its next commit
                self.renew()

    def _put(self, version: int, **body: str) -> int:
        """Follow a version with one of ours; its number, or 0 if somebody else was first."""
        import lance
        from lance.commit import CommitConflictError
        from lance.dataset import LanceOperation, Transaction

        nonce = uuid.uuid4().hex
        body |= {"host": socket.gethostname(), "pid": str(os.getpid()), "nonce": nonce}
        transaction = Transaction(
            read_version=version,
            operation=LanceOperation.Overwrite(self._head().schema, []),
            transaction_properties=body,
        )
        uri, options = self._bucket.uri(NAME), self._bucket.options

        def commit() -> int:
            try:
                after = lance.LanceDataset.commit(
                    uri, transaction, storage_options=options, max_retries=0
                )
                return after.version
            except CommitConflictError:
                head = self._head()  # a first try may have come through, its answer lost
                return head.version if _holder(head).get("nonce") == nonce else 0

        return self._bucket.ask(commit)

    def _head(self) -> lance.LanceDataset:
        import lance

        uri, options = self._bucket.uri(NAME), self._bucket.options
        return self._bucket.ask(lambda: lance.dataset(uri, storage_options=options))

    def _age_s(self, version: int) -> float:
        return self._bucket.age_s(self._bucket.manifests(NAME)[version])

    def _owner(self) -> str:
        """A name for the journal of this machine, made once."""
        file = self._bucket.own / "owner"
        if not file.exists():
            file.write_text(uuid.uuid4().hex, encoding="ascii")
        return file.read_text(encoding="ascii")

    def _refusal(self, holder: dict[str, Any]) -> str:
        return (
            f"another machine ({holder.get('host', 'unknown')}, pid {holder.get('pid', '?')}) is "
            f"indexing into '{self._bucket.root}'; wait for it or stop it (if it died, its claim "
            f"ends after {EXPIRES_S:.0f} s)"
        )


def _holder(head: lance.LanceDataset) -> dict[str, Any]:
    transaction = head.read_transaction(head.version)
    return dict((transaction and transaction.transaction_properties) or {})
