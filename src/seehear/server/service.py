"""What all routes share, and how a route gets it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

from fastapi import Depends, Request

from seehear.library import Library
from seehear.server.jobs import Jobs
from seehear.server.queueing import Queue
from seehear.server.settings import Settings


@dataclass(frozen=True, kw_only=True, eq=False)
class Service:
    """One open library with its limits, jobs and queues; stored in `app.state.service`."""

    library: Library
    settings: Settings
    jobs: Jobs
    searches: Queue
    decoders: Queue
    exports: Queue
    cache: Path


def current(request: Request) -> Service:
    """The service that a request belongs to."""
    return cast("Service", request.app.state.service)


Current = Annotated[Service, Depends(current)]
