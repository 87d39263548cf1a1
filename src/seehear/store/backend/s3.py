"""S3 backend: a library below a prefix of a bucket, on AWS or a compatible server."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from platformdirs import user_data_path

from seehear.errors import LibraryError, UsageError
from seehear.store.backend.protocol import CATALOG, LEASE, manifest_versions
from seehear.store.backend.s3_client import S3Client

SCHEME = "s3://"
LIST_THREADS = 8


class S3Backend:
    """Objects below `s3://bucket/prefix`; an acknowledged write is durable."""

    is_shared = True

    def __init__(self, address: str) -> None:
        bucket, _, prefix = address.removeprefix(SCHEME).strip("/").partition("/")
        if not bucket or not prefix:
            raise UsageError(f"'{address}' does not name a library; write s3://BUCKET/PREFIX")
        self.root = f"{SCHEME}{bucket}/{prefix}"
        self.client = S3Client(self.root, bucket)
        self._base = f"{bucket}/{prefix}/"

    @property
    def local_dir(self) -> Path:
        key = hashlib.sha256(f"{self.client.endpoint} {self.root}".encode()).hexdigest()
        folder = user_data_path("seehear") / "remote" / key[:24]
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def lance_options(self) -> dict[str, str]:
        return self.client.lance_options()

    def table_uri(self, table: str) -> str:
        return f"{self.root}/{table}"

    def prepare(self) -> None:
        self.check_available()
        if CATALOG in self._tables():
            raise LibraryError(f"'{self.root}' is already a library; open it, or choose another")
        if not self.is_empty():
            raise LibraryError(f"'{self.root}' contains other objects; choose an unused prefix")
        for file in self.local_dir.iterdir():  # of a library that was deleted
            file.unlink()

    def require_library(self) -> None:
        if CATALOG in self._tables():
            return
        self.check_available()
        if self.is_empty():
            raise LibraryError(
                f"there is no library at '{self.root}'; index a folder of videos into it first"
            )
        raise LibraryError(
            f"'{self.root}' is not a complete library (other objects, or its creation was "
            "interrupted); give the address of a library, or empty the prefix"
        )

    def is_empty(self) -> bool:
        return not any(each.is_file for each in self._list("", recursive=True))

    def latest_versions(self) -> dict[str, int]:
        tables = [name for name in self._tables() if name != LEASE]
        with ThreadPoolExecutor(LIST_THREADS) as pool:
            pairs = zip(tables, pool.map(self.manifests, tables), strict=True)
            return {name: max(found) for name, found in pairs if found}

    def manifests(self, table: str) -> dict[int, str]:
        return manifest_versions(self.file_sizes(f"{table}/_versions/"))

    def file_sizes(self, name: str) -> dict[str, int]:
        is_folder = not name or name.endswith("/")
        found = self._list(name.rstrip("/"), recursive=True) if is_folder else [self._info(name)]
        return {each.path.removeprefix(self._base): each.size for each in found if each.is_file}

    def sync(self, names: Iterable[str]) -> None:
        """An acknowledged object is already durable."""

    def quarantine(self, table: str, names: Iterable[str]) -> None:
        """Objects are written atomically, so there are no partial manifests."""

    def delete_folder(self, folder: str) -> None:
        self._delete(self.file_sizes(f"{folder}/"))

    def vacuum(self, table: str) -> None:
        names = self.file_sizes(f"{table}/_versions/")
        self._delete(name for name in names if name.rpartition("/")[2].startswith("d"))

    def check_available(self) -> None:
        self.client.require_bucket()

    def age_s(self, name: str) -> float:
        """Seconds since a file was written, by the server's clock: a copy made now is compared."""
        copy, files = f"{LEASE}/now", self.client.filesystem
        self.client.request(partial(files.copy_file, self._base + name, self._base + copy))
        return (self._info(copy).mtime - self._info(name).mtime).total_seconds()

    def _delete(self, names: Iterable[str]) -> None:
        for name in names:
            self.client.request(partial(self.client.filesystem.delete_file, self._base + name))

    def _list(self, folder: str, *, recursive: bool) -> list[Any]:
        from pyarrow.fs import FileSelector

        selector = FileSelector(
            (self._base + folder).rstrip("/"), recursive=recursive, allow_not_found=True
        )
        return self.client.request(partial(self.client.filesystem.get_file_info, selector))

    def _info(self, name: str) -> Any:
        return self.client.request(partial(self.client.filesystem.get_file_info, self._base + name))

    def _tables(self) -> list[str]:
        found = self._list("", recursive=False)
        return sorted(each.base_name for each in found if not each.is_file)
