"""Indexing jobs: start, watch, cancel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi import Path as InPath
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from seehear.errors import UsageError
from seehear.server import schemas
from seehear.server.jobs import Job
from seehear.server.problems import refusals
from seehear.server.routes_search import NOT_FOUND, PROBLEMS
from seehear.server.service import Current, CurrentPaths, Paths, Service

router = APIRouter(tags=["ingest"])
JobId = Annotated[str, InPath(pattern=r"^[0-9a-f]{16}$")]
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}, "description": "The state of a job, as it changes"}
}
TICK_S = 0.25


@router.post("/jobs", status_code=202, responses=PROBLEMS | refusals(403, 409))
def start(service: Current, paths: CurrentPaths, wanted: schemas.IngestIn) -> schemas.JobOut:
    """Index files and folders of the serving machine; one job at a time."""
    if any(job.state == "running" for job in service.jobs.list()):
        raise HTTPException(409, "an ingest is running already; cancel it or wait until it ends")
    for path in wanted.paths:
        if "\0" in path or (paths.folders is None and not path.startswith("/")):
            raise UsageError(f"{path!r} is not an absolute path on the serving machine")
    resolved = [paths.resolved(path) for path in wanted.paths]
    return _out(service.jobs.start(resolved, prune=wanted.prune), paths)


@router.get("/jobs", responses=PROBLEMS)
def jobs(service: Current, paths: CurrentPaths) -> list[schemas.JobOut]:
    """Jobs of this service, newest last."""
    return [_out(job, paths) for job in service.jobs.list()]


@router.get("/jobs/{job}", responses=PROBLEMS | NOT_FOUND)
def one(service: Current, paths: CurrentPaths, job: JobId) -> schemas.JobOut:
    """The state of a job."""
    return _out(_find(service, job), paths)


@router.delete("/jobs/{job}", responses=PROBLEMS | NOT_FOUND)
def cancel(service: Current, paths: CurrentPaths, job: JobId) -> schemas.JobOut:
    """Stop after the files in progress; everything committed stays."""
    found = _find(service, job)
    if found.state == "running":
        service.jobs.cancel()
    return _out(found, paths)


@router.get("/jobs/{job}/events", responses=PROBLEMS | NOT_FOUND | EVENTS)
async def events(
    request: Request, service: Current, paths: CurrentPaths, job: JobId
) -> StreamingResponse:
    """Server-sent events: the job each time it changes, until it ends."""
    found = _find(service, job)

    async def stream() -> AsyncGenerator[str]:
        sent = ""
        while not await request.is_disconnected():
            news = _out(found, paths).model_dump_json()
            if news != sent:
                yield f"data: {news}\n\n"
                sent = news
            if found.state != "running":
                return
            await asyncio.sleep(TICK_S)

    return StreamingResponse(stream(), media_type="text/event-stream")


def _find(service: Service, job_id: str) -> Job:
    job = service.jobs.get(job_id)
    if job is None:
        raise HTTPException(404, f"no job {job_id}")
    return job


def _out(job: Job, paths: Paths) -> schemas.JobOut:
    problems = [
        schemas.FailedOut(path=paths.shown(path), reason=paths.within(reason))
        for path, reason in job.problems
    ]
    fields = {**asdict(job), "problems": problems, "error": paths.within(job.error)}
    return schemas.JobOut.model_validate(fields)
