"""Service state shared by all routes, and the dependency that provides it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

from fastapi import Depends, Request
from starlette.exceptions import HTTPException

from seehear.library import Library
from seehear.server.jobs import Jobs
from seehear.server.queueing import Queue
from seehear.server.settings import Settings, is_loopback


@dataclass(frozen=True, kw_only=True, eq=False)
class Service:
    """One open library with its limits, jobs and queues; stored in `app.state.service`."""

    library: Library
    root: str  # of the library
    settings: Settings
    jobs: Jobs
    searches: Queue
    decoders: Queue
    exports: Queue
    cache: Path


@dataclass(frozen=True, kw_only=True)
class Paths:
    """How a client sees paths: as they are on this machine, else relative to `folder`.

    `folder` is the deepest folder above all indexed files; None for clients of this machine.
    """

    folder: str | None
    library: str

    def shown(self, path: str) -> str:
        """A path for the client; outside `folder` only the name is shown."""
        if self.folder is None:
            return path
        below = path.startswith(self.folder.rstrip(os.sep) + os.sep)
        return os.path.relpath(path, self.folder) if below else Path(path).name

    def within(self, text: str) -> str:
        """Replace absolute paths in a message by the paths this client may see."""
        if self.folder is None:
            return text
        for root in (self.library, self.folder):
            text = text.replace(root.rstrip(os.sep) + os.sep, "").replace(root, Path(root).name)
        return text

    def resolved(self, path: str) -> str:
        """The path on this machine. Raises: HTTPException (403) outside `folder`."""
        if self.folder is None:
            return path
        full = os.path.normpath(Path(self.folder) / path)
        for found, folder in (
            (full, self.folder),
            (os.path.realpath(full), os.path.realpath(self.folder)),  # no link may lead out
        ):
            if not f"{found}{os.sep}".startswith(folder.rstrip(os.sep) + os.sep):
                raise HTTPException(403, "remote clients can only access folders of this library")
        return full


def current(request: Request) -> Service:
    """The service that a request belongs to."""
    return cast("Service", request.app.state.service)


Current = Annotated[Service, Depends(current)]


def is_remote(request: Request) -> bool:
    """True unless the client is this machine and calls it by a loopback name."""
    name = request.url.hostname or ""
    return not (request.client and is_loopback(request.client.host) and is_loopback(name))


def paths_of(request: Request, service: Current) -> Paths:
    """Paths as this client may see them."""
    folder = None
    if is_remote(request):
        folder = common_folder(video.path for video in service.library.videos())
    return Paths(folder=folder, library=service.root)


CurrentPaths = Annotated[Paths, Depends(paths_of)]


def common_folder(paths: Iterable[str]) -> str:
    """The deepest folder above all files; a folder that cannot exist where there is no file."""
    folders = {os.path.dirname(path) for path in paths}  # noqa: PTH120  many, and only strings
    return os.path.commonpath(folders) if folders else f"{os.sep}\0"
