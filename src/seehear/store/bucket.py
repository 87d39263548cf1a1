"""A library below a prefix of an S3 bucket, or of a server that speaks S3.

Where the server is and who asks comes from the environment, as every S3 tool takes it (AWS_*,
AWS_ENDPOINT_URL, profiles, roles); nothing of it is stored or logged.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from platformdirs import user_data_path

from seehear.errors import LibraryError, UsageError
from seehear.store import schema
from seehear.store.lease import Lease
from seehear.store.place import S3, versions

PATIENCE_S = 60.0  # for a server that does not answer, before the sentence
LISTERS = 8
WRONG_KEYS = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken")
REFUSALS = ("AccessDenied", "403", "Forbidden", "AllAccessDisabled")


class Bucket:
    """Objects below `s3://bucket/prefix`; a PUT that was acknowledged is durable."""

    def __init__(self, address: str) -> None:
        self.bucket, _, prefix = address.removeprefix(S3).strip("/").partition("/")
        if not self.bucket or not prefix:
            raise UsageError(f"'{address}' names no library; write s3://BUCKET/PREFIX")
        self.prefix = prefix + "/"
        self.root = f"{S3}{self.bucket}/{prefix}"
        self._lease = Lease(self)

    @cached_property
    def client(self) -> Any:
        """The connection. Raises: UsageError without the packages it needs."""
        try:
            import boto3
            from botocore.config import Config
        except ImportError as error:
            raise UsageError(f"{S3} needs more: pip install 'seehear[s3]' ({error})") from error
        session = boto3.Session()
        client: Any = session.client(
            "s3",
            region_name=session.region_name or "us-east-1",
            config=Config(
                retries={"total_max_attempts": 1},  # `ask` has the patience
                connect_timeout=5,
                read_timeout=30,
                max_pool_connections=LISTERS,
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
        return client

    @cached_property
    def own(self):
        key = hashlib.sha256(f"{self.client.meta.endpoint_url} {self.root}".encode())
        folder = user_data_path("seehear") / "remote" / key.hexdigest()[:24]
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @cached_property
    def options(self) -> dict[str, str]:
        endpoint = urlsplit(self.client.meta.endpoint_url)
        options = {
            "aws_region": self.client.meta.region_name,
            "client_max_retries": "32",
            "client_retry_timeout": str(int(PATIENCE_S)),
            "connect_timeout": "5s",
        }
        if not str(endpoint.hostname).endswith(".amazonaws.com"):
            options["aws_endpoint"] = endpoint.geturl()
        if endpoint.scheme == "http":
            options["allow_http"] = "true"
        return options

    def uri(self, table: str) -> str:
        return f"{self.root}/{table}"

    def prepare(self) -> None:
        if self.files(f"{schema.CATALOG}/"):
            raise LibraryError(f"'{self.root}' is already a library; open it, or choose another")
        if not self.is_empty():
            raise LibraryError(f"'{self.root}' holds other objects; choose a prefix of its own")
        self._lease.probe()
        for file in self.own.iterdir():  # of a library that was here before
            file.unlink()

    def refuse_strange(self) -> None:
        if schema.CATALOG in self._tables():
            return
        if self.is_empty():
            raise LibraryError(
                f"there is no library at '{self.root}'; index a folder of videos into it first"
            )
        raise LibraryError(
            f"'{self.root}' holds no whole library (other objects, or a creation that was cut "
            "off); give the address of a library, or empty the prefix"
        )

    def is_empty(self) -> bool:
        return not self.ask("list_objects_v2", Prefix=self.prefix, MaxKeys=1).get("Contents")

    def heads(self) -> dict[str, int]:
        tables = self._tables()
        with ThreadPoolExecutor(LISTERS) as pool:
            newest = pool.map(self._head, tables)
            return {name: head for name, head in zip(tables, newest, strict=True) if head}

    def manifests(self, table: str) -> dict[int, str]:
        return versions(self.files(f"{table}/_versions/"))

    def files(self, start: str) -> dict[str, int]:
        pages = self._pages(Prefix=self.prefix + start)
        found = {
            each["Key"].removeprefix(self.prefix): each["Size"]
            for page in pages
            for each in page.get("Contents", ())
        }
        if not start or start.endswith("/"):
            return found
        return {name: size for name, size in found.items() if name == start}

    def keep(self, names: Iterable[str]) -> None:
        """An acknowledged object is durable already."""

    def put_aside(self, table: str, names: Iterable[str]) -> None:
        """An object is whole or absent: there are no torn manifests."""

    def drop(self, folder: str) -> None:
        for name in self.files(f"{folder}/"):
            self.ask("delete_object", Key=self.prefix + name)

    def tidy(self, table: str) -> None:
        """There are no folders."""

    def explain(self) -> None:
        self.is_empty()

    def claim(self) -> bool:
        return self._lease.take()

    def check(self) -> None:
        self._lease.renew()

    def release(self) -> None:
        self._lease.give_back()

    def ask(self, verb: str, **fields: Any) -> Any:
        """One request; a server that does not answer is asked again until patience ends.

        Raises: LibraryError in one sentence; ClientError for conditions and keys that are absent.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        client = self.client
        until = time.monotonic() + PATIENCE_S
        pause_s = 0.2
        while True:
            try:
                return getattr(client, verb)(Bucket=self.bucket, **fields)
            except (ClientError, BotoCoreError) as error:
                sentence = self._sentence(error)
                if sentence is None:
                    raise
                if sentence or time.monotonic() + pause_s > until:
                    raise LibraryError(sentence or self._silent(error)) from error
            time.sleep(random.uniform(pause_s / 2, pause_s))
            pause_s = min(2 * pause_s, 8.0)

    def _sentence(self, error: Exception) -> str | None:
        """Why a request can never succeed; "" if it may later; None for the caller to judge."""
        code = error_code(error)
        kind = type(error).__name__
        if code in ("NoSuchKey", "PreconditionFailed", "ConditionalRequestConflict", "404", "412"):
            return None
        if kind in ("NoCredentialsError", "PartialCredentialsError"):
            return (
                f"no credentials for '{self.root}'; set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            )
        if code == "NoSuchBucket":
            return f"there is no bucket '{self.bucket}'; create it, or correct the address"
        if code == "RequestTimeTooSkewed":
            return (
                f"the clock of this machine differs too much from that of '{self._server}'; set "
                "it (an NTP service keeps it right) and try again"
            )
        if code in WRONG_KEYS:
            return (
                f"'{self._server}' does not accept the credentials of the environment ({code}); "
                "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"
            )
        if code in REFUSALS:
            return (
                f"no permission for '{self.root}' ({code}); the credentials must allow to list "
                "the bucket and to get, put and delete objects below the prefix"
            )
        return ""

    def _silent(self, error: Exception) -> str:
        reason = error_code(error) or type(error).__name__
        return (
            f"the S3 server '{self._server}' did not answer for {PATIENCE_S:.0f} s ({reason}); "
            "start it, or check AWS_ENDPOINT_URL and the network; nothing committed is lost"
        )

    @property
    def _server(self) -> str:
        return str(urlsplit(self.client.meta.endpoint_url).netloc)

    def _pages(self, **fields: Any) -> Iterator[Any]:
        more: dict[str, str] = {}
        while True:
            page = self.ask("list_objects_v2", **fields, **more)
            yield page
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def _tables(self) -> list[str]:
        pages = self._pages(Prefix=self.prefix, Delimiter="/")
        folders = (each["Prefix"] for page in pages for each in page.get("CommonPrefixes", ()))
        return sorted(folder.removeprefix(self.prefix).strip("/") for folder in folders)

    def _head(self, table: str) -> int:
        """The newest manifest comes first in the order of names."""
        prefix = f"{self.prefix}{table}/_versions/"
        page = self.ask("list_objects_v2", Prefix=prefix, MaxKeys=1)
        return max(versions(each["Key"] for each in page.get("Contents", ())), default=0)


def error_code(error: Exception) -> str:
    """The code that S3 gave, if it gave one."""
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))
