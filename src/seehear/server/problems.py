"""Errors as RFC 9457 problem details: a sentence, a stable type, a status."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from seehear.errors import (
    LibraryError,
    MediaError,
    ModelError,
    NothingDoneError,
    SeeHearError,
    UsageError,
)
from seehear.server.service import current, paths_of

STATUS = {
    UsageError: 422,
    MediaError: 422,
    NothingDoneError: 404,
    LibraryError: 503,
    ModelError: 503,
}


MEANINGS = {
    401: "The request lacks the token",
    403: "Request from another origin, or outside the folders of this library",
    408: "The request body arrived too slowly",
    404: "Not in this library",
    409: "A job is running already",
    410: "The file changed since it was indexed",
    413: "Too large",
    421: "Wrong Host header",
    422: "Invalid request",
    429: "Busy: retry after Retry-After seconds",
    503: "Library or engine not available",
}
KIND = "application/problem+json"


def problem(
    status: int, detail: str, kind: str = "about:blank", headers: dict[str, str] | None = None
) -> JSONResponse:
    """An application/problem+json answer."""
    body = {"type": kind, "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse(body, status, headers, media_type=KIND)


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI descriptions of these error responses."""
    text = {"type": "string"}
    fields = {"type": text, "title": text, "status": {"type": "integer"}, "detail": text}
    schema = {"title": "Problem", "type": "object", "properties": fields, "required": list(fields)}

    def example(status: int) -> dict[str, Any]:
        title = HTTPStatus(status).phrase
        detail = f"{MEANINGS[status]}: one sentence with details."
        return {"type": "about:blank", "title": title, "status": status, "detail": detail}

    return {
        status: {
            "description": MEANINGS[status],
            "content": {KIND: {"schema": schema, "example": example(status)}},
        }
        for status in statuses
    }


def install(app: FastAPI) -> None:
    """Turn every error into problem details, without a stack trace."""

    @app.exception_handler(SeeHearError)
    async def seehear_error(request: Request, error: SeeHearError) -> JSONResponse:
        name = type(error).__name__.removesuffix("Error").lower()
        status = next((s for kind, s in STATUS.items() if isinstance(error, kind)), 500)
        detail = paths_of(request, current(request)).within(str(error))
        return problem(status, detail, f"urn:seehear:{name}")

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        messages = [
            f"{'.'.join(map(str, e['loc'][1:])) or 'body'}: {e['msg']}" for e in error.errors()
        ]
        return problem(422, "; ".join(messages), "urn:seehear:usage")

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers) if error.headers else None
        return problem(error.status_code, str(error.detail), headers=headers)

    for handler in (seehear_error, invalid, refused):
        assert handler  # registered by their decorators
