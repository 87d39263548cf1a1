"""Local disk: fsync, file sizes, and the check that a folder is not on a network file system."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from seehear.errors import LibraryError

NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs"}


def sync(path: Path) -> None:
    """Call fsync on a file or folder; every fsync of the store goes through this function."""
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open a folder; NTFS journals its entries itself
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_files(files: Iterable[Path]) -> None:
    """Make files durable, then the folders that contain them, deepest first."""
    folders: set[Path] = set()
    for file in files:
        sync(file)
        folders |= {file.parent, file.parent.parent}
    for folder in sorted(folders, key=lambda folder: -len(folder.parts)):
        sync(folder)


def tree(folder: Path) -> list[Path]:
    """Every file below a folder."""
    return [path for path in folder.rglob("*") if path.is_file()]


def sizes(files: Iterable[Path], root: Path) -> dict[str, int]:
    """Sizes in bytes by name below a root; missing files are left out."""
    found: dict[str, int] = {}
    for file in files:
        with suppress(FileNotFoundError):
            found[file.relative_to(root).as_posix()] = file.stat().st_size
    return found


def file_system_of(path: Path, mounts: str) -> str:
    """Type of the file system that contains an absolute path, from the text of /proc/mounts."""
    best, kind = "", ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        mount = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[1])
        if len(mount) >= len(best) and path.is_relative_to(mount):
            best, kind = mount, fields[2]
    return kind


def mounts() -> str:
    """Text of /proc/mounts; empty on systems without it."""
    path = Path("/proc/mounts")
    return path.read_text(errors="replace") if path.exists() else ""


def refuse_network_folder(root: Path, mounted: str) -> None:
    """Raises: LibraryError if the folder is on NFS, SMB or CIFS."""
    kind = file_system_of(root.resolve(), mounted)
    if kind in NETWORK:
        raise LibraryError(
            f"'{root}' is on a network file system ({kind}), where renames and locks are not "
            "reliable; put the library on a local disk (the videos may stay where they are)"
        )
