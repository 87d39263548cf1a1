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
from seehear.server.service import Current, Service

router = APIRouter(tags=["ingest"])
JobId = Annotated[str, InPath(pattern=r"^[0-9a-f]{16}$")]
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}, "description": "The state of a job, as it changes"}
}
TICK_S = 0.25


@router.post("/jobs", status_code=202, responses=PROBLEMS | refusals(409))
def start(service: Current, wanted: schemas.IngestIn) -> schemas.JobOut:
    """Index files and folders of the serving machine; one job at a time."""
    if any(job.state == "running" for job in service.jobs.list()):
        raise HTTPException(409, "an ingest is running already; cancel it or wait until it ends")
    for path in wanted.paths:
        if "\0" in path or not path.startswith("/"):
            raise UsageError(f"{path!r} is not an absolute path on the serving machine")
    return _out(service.jobs.start(wanted.paths, prune=wanted.prune))


@router.get("/jobs", responses=PROBLEMS)
def jobs(service: Current) -> list[schemas.JobOut]:
    """Jobs of this service, newest last."""
    return [_out(job) for job in service.jobs.list()]


@router.get("/jobs/{job}", responses=PROBLEMS | NOT_FOUND)
def one(service: Current, job: JobId) -> schemas.JobOut:
    """The state of a job."""
    return _out(_find(service, job))


@router.delete("/jobs/{job}", responses=PROBLEMS | NOT_FOUND)
def cancel(service: Current, job: JobId) -> schemas.JobOut:
    """Stop after the files in progress; everything committed stays."""
    found = _find(service, job)
    if found.state == "running":
        service.jobs.cancel()
    return _out(found)


@router.get("/jobs/{job}/events", responses=PROBLEMS | NOT_FOUND | EVENTS)
async def events(request: Request, service: Current, job: JobId) -> StreamingResponse:
    """Server-sent events: the job each time it changes, until it ends."""
    found = _find(service, job)

    async def stream() -> AsyncGenerator[str]:
        sent = ""
        while not await request.is_disconnected():
            news = _out(found).model_dump_json()
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


def _out(job: Job) -> schemas.JobOut:
    problems = [schemas.FailedOut(path=path, reason=reason) for path, reason in job.problems]
    return schemas.JobOut.model_validate({**asdict(job), "problems": problems})
