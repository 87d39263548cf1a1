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
    """How a client sees paths: as they are on this machine, else relative to `folders`.

    `folders` are the deepest folders above all indexed files; None for clients of this machine.
    """

    folders: tuple[str, ...] | None
    library: str

    def shown(self, path: str) -> str:
        """A path for the client; outside `folders` only the name is shown."""
        if self.folders is None:
            return path
        top = next((top for top in self.folders if _is_within(path, top)), None)
        return Path(path).name if top is None else os.path.relpath(path, self._base(top))

    def within(self, text: str) -> str:
        """Replace absolute paths in a message by the paths this client may see."""
        for place in (self.library, *(self.folders or ())) if self.folders is not None else ():
            text = text.replace(place, Path(place).name)
        return text

    def resolved(self, path: str) -> str:
        """The path on this machine. Raises: HTTPException (403) outside `folders`."""
        if self.folders is None:
            return path
        for top in self.folders:
            full = os.path.normpath(Path(self._base(top)) / path)
            real = os.path.realpath(full)  # no link may lead out
            if _is_within(full, top) and _is_within(real, os.path.realpath(top)):
                return full
        raise HTTPException(403, "remote clients can only access folders of this library")

    def _base(self, top: str) -> str:
        """What paths below a folder are relative to: it, or its parent where there are several."""
        return top if self.folders is not None and len(self.folders) == 1 else str(Path(top).parent)


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + os.sep)


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
    folders = None
    if is_remote(request):
        folders = top_folders(video.path for video in service.library.videos())
    return Paths(folders=folders, library=service.root)


CurrentPaths = Annotated[Paths, Depends(paths_of)]


def top_folders(paths: Iterable[str]) -> tuple[str, ...]:
    """The deepest folders above all files: one, or one below each folder of the root."""
    folders = {os.path.dirname(path) for path in paths} - {os.sep}  # noqa: PTH120  only strings
    common = os.path.commonpath(folders) if folders else os.sep
    if common != os.sep:
        return (common,)
    groups: dict[str, list[str]] = {}
    for folder in sorted(folders):
        groups.setdefault(Path(folder).parts[1], []).append(folder)
    return tuple(os.path.commonpath(group) for group in groups.values())
