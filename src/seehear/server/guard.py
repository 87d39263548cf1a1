"""Access control: Host, Origin and token checks, and the security headers of every answer."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import anyio
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from seehear.server.problems import problem
from seehear.server.settings import Settings

OPEN = ("/", "/healthz", "/readyz")  # and /web/: the page contains no secrets
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; media-src 'self' blob:; connect-src 'self'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
LINK_S = 12 * 3600
FORM_BYTES = 1 << 16  # size of a request without its upload
GRACE_S, MIN_BYTES_PER_S = 20.0, 1 << 14  # a body that is slower is refused


class BodyLimit:
    """Stop reading a request body above the size limit (413) or below the minimum speed (408)."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._most = app, most + FORM_BYTES

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the bytes received, whatever Content-Length says."""
        size, is_complete, begun = 0, False, time.monotonic()

        async def counted() -> Message:
            nonlocal size, is_complete
            if is_complete:  # from here on only the end of the connection is awaited
                return await receive()
            try:
                with anyio.fail_after(begun + GRACE_S + size / MIN_BYTES_PER_S - time.monotonic()):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, "the request body arrived too slowly") from None
            size += len(message.get("body", b""))
            is_complete = not message.get("more_body", False)
            if size > self._most:
                raise HTTPException(413, f"the request is larger than {self._most >> 10} kB")
            return message

        await self._app(scope, counted if scope["type"] == "http" else receive, send)


def install(app: FastAPI, settings: Settings) -> None:
    """Check every request before its route."""
    app.add_middleware(BodyLimit, most=settings.upload_bytes)
    hosts = settings.allowed_hosts()

    @app.middleware("http")
    async def guard(
        request: Request, forward: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        reason = _refusal(request, settings, hosts)
        if reason:
            needs = {"WWW-Authenticate": 'Bearer realm="seehear"'} if reason[0] == 401 else None
            answer: Response = problem(*reason, headers=needs)
        else:
            answer = await forward(request)
        for name, value in HEADERS.items():
            answer.headers.setdefault(name, value)
        return answer

    assert guard  # registered by its decorator


def _refusal(request: Request, settings: Settings, hosts: frozenset[str]) -> tuple[int, str] | None:
    if request.headers.get("host", "").lower() not in hosts:
        return 421, "the Host header does not name this service"
    origin, host = request.headers.get("origin"), request.headers.get("host", "").lower()
    if origin is not None and urlsplit(origin).netloc.lower() != host:
        return 403, "requests from another origin are refused"
    if request.headers.get("sec-fetch-site") == "cross-site" and request.method != "GET":
        return 403, "requests from another origin are refused"
    path = request.url.path
    if not settings.token_hash or path in OPEN or path.startswith("/web/"):
        return None
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and settings.accepts(token):
        return None
    if request.method in ("GET", "HEAD") and _is_signed(request, settings):
        return None
    return 401, "this service requires a token: send 'Authorization: Bearer TOKEN'"


def _is_signed(request: Request, settings: Settings) -> bool:
    until, signed = request.query_params.get("until", ""), request.query_params.get("signed", "")
    if not (until.isascii() and until.isdigit() and len(until) < 12 and signed.isascii()):
        return False
    if int(until) < time.time():
        return False
    import hmac

    return hmac.compare_digest(settings.signature(request.url.path, int(until)), signed)


def link(settings: Settings, path: str) -> str:
    """A link for <img> and <video>, which cannot send headers: signed if a token is set."""
    if not settings.token_hash:
        return path
    until = (int(time.time()) // 3600) * 3600 + LINK_S
    return f"{path}?until={until}&signed={settings.signature(path, until)}"
