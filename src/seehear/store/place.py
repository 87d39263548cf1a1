"""Where a library lies: a folder of this machine, or a prefix of an S3 bucket; one set of verbs.

Names are relative to the library, with slashes: "videos/data/0001.lance".
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, runtime_checkable

NEWEST = 2**64 - 1  # Lance names a manifest NEWEST - version
S3 = "s3://"


@runtime_checkable
class Place(Protocol):
    """What the store asks of the ground it stands on."""

    @property
    def root(self) -> Path | str:
        """The folder, or the address."""
        ...

    @property
    def is_shared(self) -> bool:
        """Whether other machines can write here, too."""
        ...

    @property
    def own(self) -> Path:
        """Folder of this machine for the journal and the lock."""
        ...

    @property
    def options(self) -> dict[str, str] | None:
        """What Lance must know to get there; never credentials."""
        ...

    def uri(self, table: str) -> str:
        """Address of a table for Lance."""
        ...

    def prepare(self) -> None:
        """Make ready for a new library. Raises: LibraryError if the place is taken or unfit."""
        ...

    def refuse_strange(self) -> None:
        """Raises: LibraryError if there is no library here, or the place is unfit."""
        ...

    def is_empty(self) -> bool:
        """Whether nothing lies here yet."""
        ...

    def heads(self) -> dict[str, int]:
        """Newest version of every table, readable or not, by name."""
        ...

    def manifests(self, table: str) -> dict[int, str]:
        """Manifest files of a table by version, newest first."""
        ...

    def files(self, start: str) -> dict[str, int]:
        """Bytes of one file, or of every file below a folder (a name that ends in a slash)."""
        ...

    def keep(self, names: Iterable[str]) -> None:
        """Make files durable, and the folders that hold them."""
        ...

    def put_aside(self, table: str, names: Iterable[str]) -> None:
        """Move unreadable manifests where nothing looks for them."""
        ...

    def drop(self, folder: str) -> None:
        """Delete a table, or what is below another folder."""
        ...

    def tidy(self, table: str) -> None:
        """Remove what Lance leaves behind: empty folders, versions nobody was shown."""
        ...

    def explain(self) -> None:
        """Raises: LibraryError if it is the place that keeps tables from being read."""
        ...

    def claim(self) -> bool:
        """Become the only writer; whether another machine may have written since the last time.

        Raises: LibraryError while another machine writes.
        """
        ...

    def check(self) -> None:
        """Raises: LibraryError if another machine has become the writer."""
        ...

    def release(self) -> None:
        """Let others write."""
        ...


def backend_for(root: Path | str) -> Place:
    """The place of a path or an address `s3://bucket/prefix`."""
    if is_remote(root):
        from seehear.store.bucket import Bucket

        return Bucket(str(root))
    from seehear.store.folder import Folder

    return Folder(Path(root).expanduser())


def is_remote(root: Path | str) -> bool:
    """Whether a path is an address of an S3 bucket."""
    return isinstance(root, str) and root.startswith(S3)


def versions(names: Iterable[str]) -> dict[int, str]:
    """Manifest files by version, newest first; other names are passed over."""
    stems = ((name, name.rsplit("/", 1)[-1].partition(".manifest")) for name in names)
    found = {NEWEST - int(stem): name for name, (stem, dot, _) in stems if dot and stem.isdecimal()}
    return dict(sorted(found.items(), reverse=True))
