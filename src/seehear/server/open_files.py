"""Indexed files by descriptor: opened once, checked, then served from that descriptor.

A path can be replaced between check and read; an open descriptor cannot.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from seehear.types import Video

MAX_HASHES = 10_000
_hashes: dict[tuple[int, ...], str] = {}  # (device, inode, change time, size) -> SHA-256


class OpenFileResponse(FileResponse):
    """A file response, ranges included, that reads an open descriptor and closes it."""

    def __init__(self, descriptor: int, *, media_type: str, headers: dict[str, str]) -> None:
        super().__init__(path_of(descriptor), media_type=media_type, headers=headers)
        self._descriptor = descriptor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file, or its headers for HEAD."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            os.close(self._descriptor)


def path_of(descriptor: int) -> str:
    """A path that opens the same file again, here and in a child that inherits the descriptor."""
    return f"/dev/fd/{descriptor}"


def open_unchanged(video: Video) -> int:
    """A descriptor of the indexed file; the caller closes it.

    At its recorded path, without links, the file is compared by size and modification time; behind
    a link, or as a copy, by its content.

    Raises: HTTPException (410) if the file is missing or has changed.
    """
    for path in (video.path, *video.aliases):
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with suppress(OSError):  # a file that cannot be read is not the indexed one
                if _is_unchanged(descriptor, video):
                    return descriptor
            os.close(descriptor)
    raise HTTPException(
        410, f"'{Path(video.path).name}' is missing or changed since it was indexed"
    )


@contextmanager
def unchanged(video: Video) -> Generator[int]:
    """`open_unchanged` that closes the descriptor at the end."""
    descriptor = open_unchanged(video)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_unchanged(descriptor: int, video: Video) -> bool:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_size != video.size_bytes:
        return False
    if _real_path(descriptor) == video.path and found.st_mtime_ns // 1000 == video.mtime_us:
        return True
    state = (found.st_dev, found.st_ino, found.st_ctime_ns, found.st_size)
    if state not in _hashes:
        if len(_hashes) >= MAX_HASHES:
            _hashes.clear()
        with Path(path_of(descriptor)).open("rb") as file:
            _hashes[state] = hashlib.file_digest(file, "sha256").hexdigest()
    return _hashes[state] == video.sha256


def _real_path(descriptor: int) -> str:
    """Path of an open file; empty where the system cannot say, so that content decides."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115
    except OSError:
        return ""
