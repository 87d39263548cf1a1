"""The HTTP service: guard, error handling, routes, page, metrics."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from importlib import resources
from importlib.metadata import version
from pathlib import Path

import anyio
from fastapi import FastAPI, Request, Response, Security
from fastapi.responses import FileResponse, PlainTextResponse
from fastapi.security import HTTPBearer
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from starlette.staticfiles import StaticFiles

from seehear.errors import SeeHearError
from seehear.library import Library
from seehear.server import (
    caching,
    guard,
    problems,
    routes_export,
    routes_ingest,
    routes_media,
    routes_search,
)
from seehear.server.jobs import Jobs
from seehear.server.queueing import Queue
from seehear.server.service import Service
from seehear.server.settings import Settings

PRELOAD_S = 5.0  # pause between looks for new moments
TOKEN = HTTPBearer(  # for the OpenAPI document; the guard checks it
    scheme_name="token",
    description="Where the service has a token ('seehear serve --new-token').",
    auto_error=False,
)


def create_app(library: Library, settings: Settings | None = None) -> FastAPI:
    """The service for one open library, which the caller closes."""
    settings = settings or Settings()

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncGenerator[None]:
        is_over = threading.Event()
        preloading = threading.Thread(target=_keep_preloaded, args=(library, is_over), daemon=True)
        preloading.start()
        yield
        is_over.set()
        await anyio.to_thread.run_sync(app.state.service.jobs.close)
        await anyio.to_thread.run_sync(preloading.join, 2.0)  # a daemon: it may outlive this wait

    app = FastAPI(
        title="seehear",
        version=version("seehear"),
        description="Find moments in videos by what is seen and what is heard.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=life,
    )
    app.state.service = _service(library, settings)
    for routes in (routes_search, routes_media, routes_ingest, routes_export):
        app.include_router(
            routes.router,
            prefix="/api/v1",
            dependencies=[Security(TOKEN)],
            responses=problems.refusals(401, 403, 421),
        )
    _add_health(app, library)
    _add_page(app)
    guard.install(app, settings)
    caching.install(app)
    _add_metrics(app)
    problems.install(app)
    return app


def _service(library: Library, settings: Settings) -> Service:
    root = library.status().root
    return Service(
        library=library,
        root=root,
        settings=settings,
        jobs=Jobs(library),
        searches=Queue("searches", settings.searches_at_once, settings.searches_waiting),
        decoders=Queue("decoders", 2, 16),
        exports=Queue("exports of clips", 1, 4),
        cache=settings.cache or Path(root).parent / ".seehear-proxies",
    )


def _keep_preloaded(library: Library, is_over: threading.Event) -> None:
    """Preload the frames of newly indexed moments; searches are correct without them too."""
    while not is_over.is_set():
        with suppress(SeeHearError, ValueError):  # a file or the library has gone
            library.preload_frames()
        is_over.wait(PRELOAD_S)


def _add_health(app: FastAPI, library: Library) -> None:
    @app.get("/healthz", response_class=PlainTextResponse, tags=["health"])
    async def healthz() -> str:
        """The process is alive."""
        return "ok"

    @app.get("/readyz", response_class=PlainTextResponse, tags=["health"])
    def readyz() -> str:
        """Library and engine can answer a search; otherwise 503."""
        library.status()
        return library.engine.name

    assert healthz
    assert readyz


def _add_page(app: FastAPI) -> None:
    web = Path(str(resources.files("seehear.server").joinpath("web")))

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(web / "index.html", headers={"Cache-Control": "no-cache"})

    assert page
    app.mount("/web", StaticFiles(directory=web), name="web")


def _add_metrics(app: FastAPI) -> None:
    registry = CollectorRegistry()
    answered = Counter("seehear_requests", "Answers", ["route", "status"], registry=registry)
    took = Histogram("seehear_request_seconds", "Seconds to answer", ["route"], registry=registry)

    @app.middleware("http")
    async def measure(
        request: Request, forward: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        begun = time.perf_counter()
        answer = await forward(request)
        route = getattr(request.scope.get("route"), "path", "other")
        answered.labels(route, str(answer.status_code)).inc()
        took.labels(route).observe(time.perf_counter() - begun)
        return answer

    @app.get("/metrics", response_class=PlainTextResponse, tags=["health"])
    async def metrics() -> PlainTextResponse:
        """Counts and times by route, for Prometheus."""
        return PlainTextResponse(generate_latest(registry), media_type="text/plain; version=0.0.4")

    assert measure
    assert metrics
