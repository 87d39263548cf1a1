"""Errors as RFC 9457 problem details: one sentence, a stable type, the right status."""

from __future__ import annotations

from http import HTTPStatus

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

STATUS = {
    UsageError: 422,
    MediaError: 422,
    NothingDoneError: 404,
    LibraryError: 503,
    ModelError: 503,
}


class Busy(HTTPException):
    """Too many requests wait already."""

    def __init__(self, what: str) -> None:
        super().__init__(429, f"{what}; try again in a second", headers={"Retry-After": "1"})


def problem(
    status: int, detail: str, kind: str = "about:blank", headers: dict[str, str] | None = None
) -> JSONResponse:
    """An application/problem+json answer."""
    body = {"type": kind, "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Every error of this app becomes a problem; none shows a stack."""

    @app.exception_handler(SeeHearError)
    async def seehear_error(_: Request, error: SeeHearError) -> JSONResponse:
        name = type(error).__name__.removesuffix("Error").lower()
        status = next((s for kind, s in STATUS.items() if isinstance(error, kind)), 500)
        return problem(status, str(error), f"urn:seehear:{name}")

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        said = [f"{'.'.join(map(str, e['loc'][1:])) or 'body'}: {e['msg']}" for e in error.errors()]
        return problem(422, "; ".join(said), "urn:seehear:usage")

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers) if error.headers else None
        return problem(error.status_code, str(error.detail), headers=headers)

    for handler in (seehear_error, invalid, refused):
        assert handler  # registered by their decorators
