"""Index from the page: start, watch, cancel."""

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
from seehear.server import shapes
from seehear.server.jobs import Job
from seehear.server.problems import refusals
from seehear.server.routes_search import NOT_FOUND, PROBLEMS

router = APIRouter(tags=["ingest"])
JobId = Annotated[str, InPath(pattern=r"^[0-9a-f]{16}$")]
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}, "description": "A job as it goes on"}
}
TICK_S = 0.25


@router.post("/jobs", status_code=202, responses=PROBLEMS | refusals(409))
def start(request: Request, wanted: shapes.IngestIn) -> shapes.JobOut:
    """Index files and folders of the serving machine; one job at a time."""
    service = request.app.state.service
    if any(job.state == "running" for job in service.jobs.list()):
        raise HTTPException(409, "an ingest is running already; cancel it or wait for its end")
    for path in wanted.paths:
        if "\0" in path or not path.startswith("/"):
            raise UsageError(f"{path!r} is not an absolute path on the serving machine")
    return _shape(service.jobs.start(wanted.paths, prune=wanted.prune))


@router.get("/jobs", responses=PROBLEMS)
def jobs(request: Request) -> list[shapes.JobOut]:
    """Jobs of this service, the newest last."""
    return [_shape(job) for job in request.app.state.service.jobs.list()]


@router.get("/jobs/{job}", responses=PROBLEMS | NOT_FOUND)
def one(request: Request, job: JobId) -> shapes.JobOut:
    """How far a job is."""
    return _shape(_find(request, job))


@router.delete("/jobs/{job}", responses=PROBLEMS | NOT_FOUND)
def cancel(request: Request, job: JobId) -> shapes.JobOut:
    """Stop after the files in flight; what is committed stays."""
    found = _find(request, job)
    if found.state == "running":
        request.app.state.service.jobs.cancel()
    return _shape(found)


@router.get("/jobs/{job}/events", responses=PROBLEMS | NOT_FOUND | EVENTS)
async def events(request: Request, job: JobId) -> StreamingResponse:
    """Server-sent events: the job each time it changed, until its end."""
    found = _find(request, job)

    async def stream() -> AsyncGenerator[str]:
        told = ""
        while not await request.is_disconnected():
            news = _shape(found).model_dump_json()
            if news != told:
                yield f"data: {news}\n\n"
                told = news
            if found.state != "running":
                return
            await asyncio.sleep(TICK_S)

    return StreamingResponse(stream(), media_type="text/event-stream")


def _find(request: Request, job_id: str) -> Job:
    job = request.app.state.service.jobs.get(job_id)
    if job is None:
        raise HTTPException(404, f"no job {job_id}")
    return job


def _shape(job: Job) -> shapes.JobOut:
    problems = [shapes.Failed(path=path, reason=reason) for path, reason in job.problems]
    return shapes.JobOut.model_validate({**asdict(job), "problems": problems})
