"""Storage backend interface: the file operations that a library needs from a folder or a bucket.

File names are relative to the library and use slashes, e.g. "videos/data/0001.lance".
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, runtime_checkable

CATALOG, VIDEOS, MEDIA = "catalog", "videos", "media"  # tables of every library
LEASE = "writer"  # table of the writer's lease; S3 only
MAX_VERSION = 2**64 - 1  # Lance names the manifest of a version MAX_VERSION - version


@runtime_checkable
class Backend(Protocol):
    """Files of one library."""

    @property
    def root(self) -> Path | str:
        """Folder, or address on S3."""
        ...

    @property
    def is_shared(self) -> bool:
        """Whether other machines can write here too."""
        ...

    @property
    def local_dir(self) -> Path:
        """Folder on this machine for the journal and the file lock."""
        ...

    @property
    def lance_options(self) -> dict[str, str] | None:
        """Connection options for Lance; never credentials."""
        ...

    def table_uri(self, table: str) -> str:
        """Return the address of a table for Lance."""
        ...

    def prepare(self) -> None:
        """Prepare for a new library. Raises: LibraryError if the location is in use or unfit."""

    def require_library(self) -> None:
        """Raises: LibraryError if there is no library here, or the location is unfit."""

    def is_empty(self) -> bool:
        """Whether there is no file here yet."""
        ...

    def latest_versions(self) -> dict[str, int]:
        """Newest version of every table by name, including versions that cannot be read."""
        ...

    def manifests(self, table: str) -> dict[int, str]:
        """Manifest files of a table by version, newest first."""
        ...

    def file_sizes(self, name: str) -> dict[str, int]:
        """Size in bytes of a file, or of every file below a folder (a name ending in a slash)."""
        ...

    def sync(self, names: Iterable[str]) -> None:
        """Make files durable, and the folders that contain them."""

    def quarantine(self, table: str, names: Iterable[str]) -> None:
        """Move unreadable manifests of a table out of its folder."""

    def delete_folder(self, folder: str) -> None:
        """Delete a table or another folder with all its files."""

    def vacuum(self, table: str) -> None:
        """Remove what Lance leaves behind: empty folders and detached versions."""

    def check_available(self) -> None:
        """Raises: LibraryError if tables cannot be read because the backend is unavailable."""


def manifest_versions(names: Iterable[str]) -> dict[int, str]:
    """Manifest files by version, newest first; other names are ignored."""
    stems = ((name, name.rsplit("/", 1)[-1].partition(".manifest")) for name in names)
    found = {
        MAX_VERSION - int(stem): name for name, (stem, dot, _) in stems if dot and stem.isdecimal()
    }
    return dict(sorted(found.items(), reverse=True))
