"""Local backend: a library in a folder of this machine."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from seehear.errors import LibraryError
from seehear.store.backend import disk
from seehear.store.backend.protocol import CATALOG, MAX_VERSION, VIDEOS, manifest_versions

QUARANTINE = "quarantine"  # folder of files that could not be read


class LocalBackend:
    """Files below a folder; `sync` makes them durable. Network file systems are refused."""

    lance_options = None
    is_shared = False

    def __init__(self, root: Path) -> None:
        self.root = root
        self.local_dir = root

    def table_uri(self, table: str) -> str:
        return str(self.root / table)

    def prepare(self) -> None:
        disk.refuse_network_folder(self.root, disk.mounts())
        if (self.root / CATALOG).is_dir():
            raise LibraryError(
                f"'{self.root}' is already a library; open it, or choose another folder"
            )
        if not self.is_empty():
            raise LibraryError(
                f"'{self.root}' is not an empty folder; choose a new or empty folder for the "
                "library"
            )
        self.root.mkdir(parents=True, exist_ok=True)

    def require_library(self) -> None:
        if (self.root / CATALOG).is_dir():
            return disk.refuse_network_folder(self.root, disk.mounts())
        if self.is_empty():
            reason = f"there is no library at '{self.root}'; index a folder of videos into it first"
        elif (self.root / VIDEOS).is_dir():
            reason = (
                f"the library '{self.root}' has no catalog (its creation was interrupted, or files "
                "were lost); delete the folder and index the videos again"
            )
        else:
            reason = f"'{self.root}' contains other files; give the folder of a library"
        raise LibraryError(reason)

    def is_empty(self) -> bool:
        return not self.root.exists() or (self.root.is_dir() and not any(self.root.iterdir()))

    def latest_versions(self) -> dict[str, int]:
        folders = sorted(self.root.glob("*/_versions"))
        return {folder.parent.name: _latest_version(folder) for folder in folders}

    def manifests(self, table: str) -> dict[int, str]:
        found = (self.root / table / "_versions").glob("*.manifest")
        return manifest_versions(file.relative_to(self.root).as_posix() for file in found)

    def file_sizes(self, name: str) -> dict[str, int]:
        path = self.root / name
        is_folder = not name or name.endswith("/")
        return disk.sizes(disk.tree(path) if is_folder else [path], self.root)

    def sync(self, names: Iterable[str]) -> None:
        disk.sync_files(self.root / name for name in names)

    def quarantine(self, table: str, names: Iterable[str]) -> None:
        folder = self.root / QUARANTINE / table
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            file = self.root / name
            file.rename(folder / f"{time.time_ns()}-{file.name}")
        disk.sync_files([*disk.tree(folder), *disk.tree(self.root / table)])

    def delete_folder(self, folder: str) -> None:
        shutil.rmtree(self.root / folder)

    def vacuum(self, table: str) -> None:
        for detached in (self.root / table / "_versions").glob("d*.manifest"):
            detached.unlink()
        data = self.root / table / "data"
        for inner in data.iterdir() if data.is_dir() else ():
            if inner.is_dir() and not any(inner.iterdir()):
                inner.rmdir()

    def check_available(self) -> None:
        """A local disk reports its own errors."""


def _latest_version(folder: Path) -> int:
    with os.scandir(folder) as entries:
        stems = [entry.name.removesuffix(".manifest") for entry in entries]
    return MAX_VERSION - min((int(stem) for stem in stems if stem.isdecimal()), default=MAX_VERSION)
