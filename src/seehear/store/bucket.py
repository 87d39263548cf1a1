"""A library below a prefix of an S3 bucket, or of a server that speaks S3.

Where the server is and who asks comes from the environment, as S3 tools take it (AWS_REGION,
AWS_ENDPOINT_URL, keys, profiles, roles); nothing of it is stored or logged.
"""

from __future__ import annotations

import hashlib
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from platformdirs import user_data_path

from seehear.errors import LibraryError, UsageError
from seehear.store import schema
from seehear.store.lease import NAME as LEASE
from seehear.store.lease import Lease
from seehear.store.place import S3, versions

PATIENCE_S = 60.0  # for a server that does not answer, before the sentence
SILENCE_S = 5.0  # then it is told what is waited for
LISTERS = 8
T = TypeVar("T")
log = logging.getLogger(__name__)


class Bucket:
    """Objects below `s3://bucket/prefix`; one that was acknowledged is durable."""

    is_shared = True

    def __init__(self, address: str) -> None:
        self.bucket, _, prefix = address.removeprefix(S3).strip("/").partition("/")
        if not self.bucket or not prefix:
            raise UsageError(f"'{address}' names no library; write s3://BUCKET/PREFIX")
        self.root = f"{S3}{self.bucket}/{prefix}"
        self._base = f"{self.bucket}/{prefix}/"
        self._endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        self._lease = Lease(self)
        self._is_awaited = False  # and that was said

    @property
    def own(self) -> Path:
        key = hashlib.sha256(f"{self._endpoint} {self.root}".encode()).hexdigest()
        folder = user_data_path("seehear") / "remote" / key[:24]
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def options(self) -> dict[str, str]:
        options = {
            "aws_region": self._region,
            "client_max_retries": "32",
            "client_retry_timeout": str(int(PATIENCE_S)),
            "connect_timeout": "5s",
        }
        if self._endpoint:
            options["aws_endpoint"] = self._endpoint
            options["allow_http"] = str(self._endpoint.startswith("http:")).lower()
        return options

    def uri(self, table: str) -> str:
        return f"{self.root}/{table}"

    def prepare(self) -> None:
        self.explain()
        if schema.CATALOG in self._tables():
            raise LibraryError(f"'{self.root}' is already a library; open it, or choose another")
        if not self.is_empty():
            raise LibraryError(f"'{self.root}' holds other objects; choose a prefix of its own")
        for file in self.own.iterdir():  # of a library that was here before
            file.unlink()
        self._lease.create()

    def refuse_strange(self) -> None:
        if schema.CATALOG in self._tables():
            return
        self.explain()
        if self.is_empty():
            raise LibraryError(
                f"there is no library at '{self.root}'; index a folder of videos into it first"
            )
        raise LibraryError(
            f"'{self.root}' holds no whole library (other objects, or a creation that was cut "
            "off); give the address of a library, or empty the prefix"
        )

    def is_empty(self) -> bool:
        return not any(each.is_file for each in self._list("", recursive=True))

    def heads(self) -> dict[str, int]:
        tables = [name for name in self._tables() if name != LEASE]
        with ThreadPoolExecutor(LISTERS) as pool:
            found = pool.map(self.manifests, tables)
            pairs = zip(tables, found, strict=True)
            return {name: max(numbers) for name, numbers in pairs if numbers}

    def manifests(self, table: str) -> dict[int, str]:
        return versions(self.files(f"{table}/_versions/"))

    def files(self, start: str) -> dict[str, int]:
        if not start or start.endswith("/"):
            found = self._list(start.rstrip("/"), recursive=True)
        else:
            found = [self._info(start)]
        return {each.path.removeprefix(self._base): each.size for each in found if each.is_file}

    def keep(self, names: Iterable[str]) -> None:
        """An acknowledged object is durable already."""

    def put_aside(self, table: str, names: Iterable[str]) -> None:
        """An object is whole or absent: there are no torn manifests."""

    def drop(self, folder: str) -> None:
        self._delete(self.files(f"{folder}/"))

    def tidy(self, table: str) -> None:
        names = self.files(f"{table}/_versions/")
        self._delete(name for name in names if name.rpartition("/")[2].startswith("d"))

    def _delete(self, names: Iterable[str]) -> None:
        for name in names:
            self.ask(partial(self._fs.delete_file, self._base + name))

    def explain(self) -> None:
        from pyarrow.fs import FileType

        if self.ask(partial(self._fs.get_file_info, self.bucket)).type == FileType.NotFound:
            raise LibraryError(self._hopeless("NoSuchBucket"))

    def claim(self) -> bool:
        return self._lease.take()

    def check(self) -> None:
        self._lease.renew()

    def release(self) -> None:
        self._lease.give_back()

    def age_s(self, name: str) -> float:
        """Seconds since a file was written, by the clock of the server: a copy is stamped now."""
        copy = f"{LEASE}/now"
        self.ask(partial(self._fs.copy_file, self._base + name, self._base + copy))
        return (self._info(copy).mtime - self._info(name).mtime).total_seconds()

    def ask(self, request: Callable[[], T]) -> T:
        """A request; a server that does not answer is asked again until patience ends.

        Raises: LibraryError in one sentence.
        """
        word = threading.Timer(SILENCE_S, self._say_awaited)
        word.daemon = True
        word.start()
        try:
            answer = self._insist(request)
            self._is_awaited = False
            return answer
        finally:
            word.cancel()

    def _insist(self, request: Callable[[], T]) -> T:
        until = time.monotonic() + PATIENCE_S
        pause_s = 0.2
        while True:
            try:
                return request()
            except OSError as error:
                sentence = self._hopeless(str(error))
                if sentence or time.monotonic() + pause_s > until:
                    raise LibraryError(sentence or self._silent(str(error))) from error
            time.sleep(random.uniform(pause_s / 2, pause_s))
            pause_s = min(2 * pause_s, 8.0)

    def _say_awaited(self) -> None:
        if not self._is_awaited:
            self._is_awaited = True
            log.warning("%s does not answer; waiting for it", self._server)

    def _hopeless(self, text: str) -> str:
        """Why a request can never succeed; "" if it may later."""
        said = text.replace("_", "").lower()
        if "nosuchbucket" in said:
            return f"there is no bucket '{self.bucket}'; create it, or correct the address"
        if "requesttimetooskewed" in said:
            return (
                f"the clock of this machine differs too much from that of {self._server}; set it "
                "(an NTP service keeps it right) and try again"
            )
        if any(word in said for word in ("accessdenied", "accesskeyid", "signaturedoes", "token")):
            return (
                f"no permission for '{self.root}'; give credentials that may list the bucket and "
                "get, put and delete objects below the prefix (AWS_ACCESS_KEY_ID with "
                "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE)"
            )
        return ""

    def _silent(self, text: str) -> str:
        return (
            f"{self._server} did not answer for {PATIENCE_S:.0f} s ({text.splitlines()[0][:160]}); "
            "start it, or check AWS_ENDPOINT_URL and the network; nothing committed is lost"
        )

    @property
    def _server(self) -> str:
        host = urlsplit(self._endpoint).netloc if self._endpoint else "AWS"
        return f"the S3 server '{host}'"

    @cached_property
    def _region(self) -> str:
        from pyarrow.fs import resolve_s3_region

        said = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        if said or self._endpoint:
            return said or "us-east-1"
        return self.ask(partial(resolve_s3_region, self.bucket))

    @cached_property
    def _fs(self) -> Any:
        from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

        return S3FileSystem(
            region=self._region,
            endpoint_override=self._endpoint,
            connect_timeout=5,
            request_timeout=30,
            retry_strategy=AwsStandardS3RetryStrategy(max_attempts=1),  # `ask` has the patience
        )

    def _list(self, folder: str, *, recursive: bool) -> list[Any]:
        from pyarrow.fs import FileSelector

        where = FileSelector(
            (self._base + folder).rstrip("/"), recursive=recursive, allow_not_found=True
        )
        return self.ask(partial(self._fs.get_file_info, where))

    def _info(self, name: str) -> Any:
        return self.ask(partial(self._fs.get_file_info, self._base + name))

    def _tables(self) -> list[str]:
        found = self._list("", recursive=False)
        return sorted(each.base_name for each in found if not each.is_file)
