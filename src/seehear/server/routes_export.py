"""Export of moments as a table, an edit list or files."""

from __future__ import annotations

import re
import tempfile
import threading
import time
import zipfile
from collections.abc import Generator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import anyio
from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from seehear.errors import MediaError, SeeHearError
from seehear.export import Moment, to_csv, to_edl, to_json, to_otio
from seehear.server import schemas
from seehear.server.open_files import path_of, unchanged
from seehear.server.problems import refusals
from seehear.server.routes_media import MEDIA
from seehear.server.routes_search import find
from seehear.server.sandbox import Limits, call
from seehear.server.service import Current, CurrentPaths, Service
from seehear.server.settings import Settings
from seehear.types import Video

router = APIRouter(tags=["export"])
CLIP_S = 600.0  # for one clip; an exact cut takes about as long as the clip lasts
TEXTS = {
    "csv": (to_csv, "text/csv"),
    "json": (to_json, "application/json"),
    "edl": (to_edl, "text/plain"),
    "otio": (to_otio, "application/json"),
}
FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A file",
        "content": {kind: {} for kind in ("text/csv", "text/plain", "application/zip")},
    }
}


@router.post("/export", responses=MEDIA | FILE | refusals(413), response_class=Response)
async def export(
    request: Request, service: Current, paths: CurrentPaths, wanted: schemas.ExportIn
) -> Response:
    """Moments in the order given, as csv, json, edl, otio, or a zip of clips."""
    chosen = await run_sync(_chosen, service, wanted.moments)
    if wanted.format != "clips":
        write, kind = TEXTS[wanted.format]
        moments = [replace(moment, path=paths.shown(moment.path)) for _, moment in chosen]
        headers = {"Content-Disposition": f'attachment; filename="seehear.{wanted.format}"'}
        return Response(write(moments), media_type=kind, headers=headers)
    folder = tempfile.TemporaryDirectory(prefix="seehear-")
    place = Path(folder.name) / "clips.zip"
    failed = await _cut_until_gone(request, service, chosen, place, exact=wanted.exact)
    if failed:
        folder.cleanup()
        raise failed
    headers = {"Content-Disposition": 'attachment; filename="seehear-clips.zip"'}

    def pieces() -> Generator[bytes]:
        with folder, place.open("rb") as file:
            while piece := file.read(1 << 20):
                yield piece

    return StreamingResponse(pieces(), media_type="application/zip", headers=headers)


async def _cut_until_gone(
    request: Request,
    service: Service,
    chosen: list[tuple[Video, Moment]],
    place: Path,
    *,
    exact: bool,
) -> Exception | None:
    """Cut all clips, or stop when the client leaves or the service ends; returns the failure.

    It is returned, not raised: a task group would wrap it.
    """
    cancel, failed = threading.Event(), None
    async with anyio.create_task_group() as group:
        group.start_soon(_cancel_when_gone, request, cancel)
        try:
            await service.exports.run(
                _cut_all, service.settings, chosen, place, exact=exact, cancel=cancel
            )
        except (SeeHearError, HTTPException) as error:
            failed = error
        group.cancel_scope.cancel()
    return failed


async def _cancel_when_gone(request: Request, cancel: threading.Event) -> None:
    """Set `cancel` when the client disconnects or the service stops."""
    try:
        while (await request.receive())["type"] != "http.disconnect":
            pass  # `is_disconnected` never sees it behind middleware
    finally:
        cancel.set()


def _chosen(service: Service, wanted: list[schemas.MomentIn]) -> list[tuple[Video, Moment]]:
    videos = {video.id: video for video in service.library.videos()}
    chosen: list[tuple[Video, Moment]] = []
    for one in wanted:
        item = find(service, one.item)
        video = videos[item.video_id]
        moment = Moment(
            path=video.path,
            start_s=item.start_s if one.start_s is None else one.start_s,
            end_s=item.end_s if one.end_s is None else one.end_s,
            fps=video.fps,
            duration_s=video.duration_s,
            has_sound=video.sound != "none",
            title=one.title,
        )
        chosen.append((video, moment))
    return chosen


def _cut_all(
    settings: Settings,
    chosen: list[tuple[Video, Moment]],
    place: Path,
    *,
    exact: bool,
    cancel: threading.Event,
) -> None:
    """Cut every moment into one zip. Raises: MediaError; HTTPException (413) above the limits."""
    until, size = time.monotonic() + settings.export_s, 0
    with zipfile.ZipFile(place, "w", zipfile.ZIP_STORED) as archive:
        for number, (video, moment) in enumerate(chosen, start=1):
            left_s = until - time.monotonic()
            if left_s <= 0:
                raise HTTPException(413, "the clips take too long to cut; select fewer moments")
            stem = re.sub(r"[^\w.-]+", "_", Path(moment.path).stem)[:60]
            suffix = ".mp4" if exact else Path(moment.path).suffix
            clip = place.with_name(f"{number:03d}-{stem}{suffix}")
            limits = Limits(
                time_s=min(CLIP_S, left_s), memory_bytes=settings.decode_bytes, cancel=cancel
            )
            _cut(video, moment, clip, exact=exact, limits=limits)
            size += clip.stat().st_size
            if size > settings.export_bytes:
                most = settings.export_bytes >> 20
                raise HTTPException(413, f"the clips exceed {most} MB; select fewer moments")
            archive.write(clip, clip.name)
            clip.unlink()


def _cut(video: Video, moment: Moment, clip: Path, *, exact: bool, limits: Limits) -> None:
    with unchanged(video) as descriptor:
        source = path_of(descriptor)
        try:
            call(
                "clip",
                limits,
                descriptor=descriptor,
                moment=asdict(replace(moment, path=source)),
                exact=exact,
                output=str(clip),
            )
        except MediaError as error:
            raise MediaError(str(error).replace(source, Path(video.path).name)) from error
