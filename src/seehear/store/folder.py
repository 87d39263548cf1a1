"""A library in a folder of this machine."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from seehear.errors import LibraryError
from seehear.store import disk, schema
from seehear.store.place import NEWEST, versions

QUARANTINE = "quarantine"


class Folder:
    """Files under the root; durable only when the disk was asked to keep them."""

    options = None
    is_shared = False  # not even a network folder: those are refused

    def __init__(self, root: Path) -> None:
        self.root = root
        self.own = root

    def uri(self, table: str) -> str:
        return str(self.root / table)

    def prepare(self) -> None:
        disk.refuse_network_folder(self.root, disk.mounts())
        if (self.root / schema.CATALOG).is_dir():
            raise LibraryError(
                f"'{self.root}' is already a library; open it, or choose another folder"
            )
        if not self.is_empty():
            raise LibraryError(
                f"'{self.root}' is not an empty folder; a library needs one of its own, choose "
                "another"
            )
        self.root.mkdir(parents=True, exist_ok=True)

    def refuse_strange(self) -> None:
        if (self.root / schema.CATALOG).is_dir():
            return disk.refuse_network_folder(self.root, disk.mounts())
        if self.is_empty():
            reason = f"there is no library at '{self.root}'; index a folder of videos into it first"
        elif (self.root / schema.VIDEOS).is_dir():
            reason = (
                f"the library '{self.root}' lacks its catalog (its creation was cut off, or files "
                "were lost); delete the folder and index the videos again"
            )
        else:
            reason = f"'{self.root}' is a folder of something else; give the folder of a library"
        raise LibraryError(reason)

    def is_empty(self) -> bool:
        return not self.root.exists() or (self.root.is_dir() and not any(self.root.iterdir()))

    def heads(self) -> dict[str, int]:
        folders = sorted(self.root.glob("*/_versions"))
        return {folder.parent.name: _head(folder) for folder in folders}

    def manifests(self, table: str) -> dict[int, str]:
        found = (self.root / table / "_versions").glob("*.manifest")
        return versions(self._name(file) for file in found)

    def files(self, start: str) -> dict[str, int]:
        path = self.root / start
        if not start or start.endswith("/"):
            return disk.sizes(disk.tree(path), self.root)
        return disk.sizes([path], self.root)

    def keep(self, names: Iterable[str]) -> None:
        disk.sync_files(self.root / name for name in names)

    def put_aside(self, table: str, names: Iterable[str]) -> None:
        folder = self.root / QUARANTINE / table
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            file = self.root / name
            file.rename(folder / f"{time.time_ns()}-{file.name}")
        disk.sync_files([*disk.tree(folder), *disk.tree(self.root / table)])

    def drop(self, folder: str) -> None:
        shutil.rmtree(self.root / folder)

    def tidy(self, table: str) -> None:
        for trial in (self.root / table / "_versions").glob("d*.manifest"):
            trial.unlink()
        data = self.root / table / "data"
        for inner in data.iterdir() if data.is_dir() else ():
            if inner.is_dir() and not any(inner.iterdir()):
                inner.rmdir()

    def explain(self) -> None:
        """A disk that fails says so itself."""

    def claim(self) -> bool:
        return False  # the lock beside the journal says all

    def check(self) -> None:
        """A file lock cannot be lost."""

    def release(self) -> None:
        """The lock beside the journal says all."""

    def _name(self, file: Path) -> str:
        return file.relative_to(self.root).as_posix()


def _head(folder: Path) -> int:
    with os.scandir(folder) as entries:
        stems = [entry.name.removesuffix(".manifest") for entry in entries]
    return NEWEST - min((int(stem) for stem in stems if stem.isdecimal()), default=NEWEST)
