"""Find media files in folders."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

VIDEO = "3g2 3gp asf avi divx dv f4v flv m2ts m2v m4v mkv mov mp4 mpeg mpg mts mxf ogv vob webm wmv"
AUDIO = "aac ac3 aif aifc aiff amr ape au caf flac m4a m4b mka mp2 mp3 oga ogg opus wav wma wv"
SUFFIXES = {f".{name}" for name in f"{VIDEO} {AUDIO}".split()}


@dataclass(frozen=True)
class Scan:
    """Found media files, and (path, reason) of what could not be read; both sorted."""

    files: tuple[Path, ...]
    problems: tuple[tuple[str, str], ...]


def scan(paths: Sequence[Path], *, exclude: Sequence[str] = ()) -> Scan:
    """Find media files below `paths` by extension; a file given by its own path always counts.

    Hidden entries are skipped, links are followed, each folder is visited once. A pattern of
    `exclude` skips files and folders by name ("*.m4a", "trailers") or by full path.
    """
    walk = _Walk(tuple(exclude))
    for path in sorted(Path(os.path.abspath(path)) for path in paths):  # noqa: PTH100
        walk.add_named(path)
    return Scan(tuple(sorted(walk.files)), tuple(sorted(walk.problems)))


class _Walk:
    def __init__(self, exclude: tuple[str, ...]) -> None:
        self.files: set[Path] = set()
        self.problems: set[tuple[str, str]] = set()
        self._exclude = exclude
        self._visited: set[tuple[int, int]] = set()

    def add_named(self, path: Path) -> None:
        """Add a path given by the user: walk a folder, take a file as it is."""
        if not os.path.isdir(path):  # noqa: PTH112  Path.is_dir raises where it may not look
            self._add_file(path)
            return
        folders, links = [path], list[Path]()
        while folders or links:  # links last: a folder is found under its own name first
            for entry in self._entries((folders or links).pop()):
                if os.path.isdir(entry):  # noqa: PTH112
                    (links if entry.is_symlink() else folders).append(entry)
                elif _has_media_name(entry):
                    self._add_file(entry)

    def _entries(self, folder: Path) -> list[Path]:
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in self._visited:
                return []
            self._visited.add((status.st_dev, status.st_ino))
            return sorted((e for e in folder.iterdir() if not self._is_excluded(e)), reverse=True)
        except OSError as error:
            self.problems.add((str(folder), error.strerror or "cannot be listed"))
            return []

    def _is_excluded(self, entry: Path) -> bool:
        name, path = entry.name, str(entry)
        return name.startswith(".") or any(
            fnmatchcase(name, pattern) or fnmatchcase(path, pattern) for pattern in self._exclude
        )

    def _add_file(self, path: Path) -> None:
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise OSError(0, "not a regular file")
            path.open("rb").close()
            self.files.add(path)
        except OSError as error:
            self.problems.add((str(path), error.strerror or "cannot be read"))


def _has_media_name(path: Path) -> bool:
    if path.suffix.lower() != ".ts":
        return path.suffix.lower() in SUFFIXES
    try:  # a transport stream, or source code
        with path.open("rb") as file:
            return file.read(1) == b"G"
    except OSError:
        return True
