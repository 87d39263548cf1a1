"""The right to write below a prefix: one object that only its holder may replace.

Every PUT is conditional (If-None-Match, If-Match), so that of two writers one is refused. A holder
that dies stops renewing; after EXPIRES_S, by the server's clock, another may take over.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import uuid
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from seehear.errors import LibraryError

if TYPE_CHECKING:
    from seehear.store.bucket import Bucket

NAME = "writer.lock"
EXPIRES_S = 60.0
RENEW_S = 15.0


@dataclass(frozen=True, kw_only=True)
class Found:
    """The lease as it lies in the bucket."""

    etag: str
    text: str
    age_s: float  # by the server's clock

    @property
    def holder(self) -> dict[str, Any]:
        return json.loads(self.text)


class Lease:
    """Taken by one writer, renewed in the background, checked before every commit."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._etag = ""
        self._lock = threading.Lock()
        self._end = threading.Event()

    def probe(self) -> None:
        """Raises: LibraryError if the server does not honour conditional PUTs."""
        first = self._put({"owner": ""}, IfNoneMatch="*")
        honours = bool(first) and not self._put({"owner": "x"}, IfNoneMatch="*")
        honours = honours and not self._put({"owner": "x"}, IfMatch='"0"')
        self._bucket.ask("delete_object", Key=self._key)
        if not honours:
            raise LibraryError(
                f"the server of '{self._bucket.root}' ignores conditional writes (If-None-Match, "
                "If-Match), so that two writers could destroy each other's work; use one that "
                "honours them (AWS S3, MinIO, SeaweedFS, Ceph from 20 on)"
            )

    def take(self) -> bool:
        """Become the writer; whether another one held the lease since this machine did.

        Raises: LibraryError while another machine holds it.
        """
        found = self._find()
        holder = found.holder if found else {}
        is_mine = holder.get("owner") == self._owner()
        if found and holder.get("held") and not is_mine and found.age_s < EXPIRES_S:
            raise LibraryError(self._refusal(holder))
        condition = {"IfMatch": found.etag} if found else {"IfNoneMatch": "*"}
        self._etag = self._put(self._body(held=True), **condition)
        if not self._etag:
            now = self._find()
            raise LibraryError(self._refusal(now.holder if now else {}))
        self._end.clear()
        threading.Thread(target=self._keep, daemon=True, name="seehear-lease").start()
        return not is_mine

    def renew(self) -> None:
        """Raises: LibraryError if the lease was lost."""
        with self._lock:
            if self._etag:
                self._etag = self._put(self._body(held=True), IfMatch=self._etag)
        if not self._etag:
            raise LibraryError(
                f"another machine has become the writer of '{self._bucket.root}', since this one "
                "was not heard of for too long; run the same command again to go on"
            )

    def give_back(self) -> None:
        """Let others write at once; the object stays and tells who wrote last."""
        self._end.set()
        with self._lock:
            if self._etag:
                self._put(self._body(held=False), IfMatch=self._etag)
            self._etag = ""

    def _keep(self) -> None:
        while not self._end.wait(RENEW_S):
            try:
                self.renew()
            except LibraryError:
                continue  # the writer learns it at its next commit; a silent server may come back

    def _put(self, body: dict[str, Any], **condition: str) -> str:
        """The new version's tag; "" if the condition did not hold."""
        from botocore.exceptions import ClientError

        text = json.dumps({**body, "nonce": uuid.uuid4().hex})
        try:
            answer = self._bucket.ask("put_object", Key=self._key, Body=text, **condition)
            return str(answer["ETag"])
        except ClientError:
            found = self._find()  # a first try may have come through, its answer lost
            return found.etag if found and found.text == text else ""

    def _find(self) -> Found | None:
        from botocore.exceptions import ClientError

        try:
            answer = self._bucket.ask("get_object", Key=self._key)
        except ClientError:
            return None
        now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        age_s = (now - answer["LastModified"]).total_seconds()
        return Found(etag=answer["ETag"], text=answer["Body"].read().decode(), age_s=age_s)

    def _body(self, *, held: bool) -> dict[str, Any]:
        host = socket.gethostname()
        return {"owner": self._owner(), "host": host, "pid": os.getpid(), "held": held}

    def _owner(self) -> str:
        """A name for the journal of this machine, made once."""
        file = self._bucket.own / "owner"
        if not file.exists():
            file.write_text(uuid.uuid4().hex, encoding="ascii")
        return file.read_text(encoding="ascii")

    @property
    def _key(self) -> str:
        return self._bucket.prefix + NAME

    def _refusal(self, holder: dict[str, Any]) -> str:
        return (
            f"another machine ({holder.get('host', 'unknown')}, pid {holder.get('pid', '?')}) is "
            f"indexing into '{self._bucket.root}'; wait for it or stop it (if it died, its claim "
            f"ends after {EXPIRES_S:.0f} s)"
        )
