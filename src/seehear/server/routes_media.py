"""Thumbnails, frames, files and proxies of indexed videos only."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException

from seehear.errors import LibraryError, MediaError
from seehear.server import schemas
from seehear.server.open_files import OpenFileResponse, open_unchanged, path_of
from seehear.server.problems import refusals
from seehear.server.routes_search import NOT_FOUND, PROBLEMS, find
from seehear.server.sandbox import Limits, call
from seehear.server.service import Current, Service
from seehear.types import Video

router = APIRouter(tags=["media"])
VideoId = Annotated[schemas.VideoId, InPath()]
ItemId = Annotated[schemas.ItemId, InPath()]
MEDIA = PROBLEMS | NOT_FOUND | refusals(410)
PICTURE = {200: {"content": {"image/webp": {}, "image/jpeg": {}}, "description": "A picture"}}
FILM = {200: {"content": {"video/mp4": {}}, "description": "A film"}}
PROXY_HEIGHT_PX, PROXIES = 480, 500


@router.head("/items/{item}/thumbnail", include_in_schema=False)
@router.get("/items/{item}/thumbnail", responses=MEDIA | PICTURE, response_class=Response)
def thumbnail(service: Current, item: ItemId) -> Response:
    """A small picture of a moment; 404 for a moment without pictures."""
    find(service, item)
    picture = service.library.thumbnail(item)
    if not picture:
        raise HTTPException(404, "this moment has sound only, no picture")
    return _picture(picture)


@router.head("/videos/{video}/media", include_in_schema=False)
@router.get("/videos/{video}/media", responses=MEDIA | FILM, response_class=Response)
def media(request: Request, service: Current, video: VideoId) -> Response:
    """The original file; range requests are supported."""
    found = _video(service, video)
    kind = "audio" if found.width == 0 else "video"
    suffix = Path(found.path).suffix.lower().lstrip(".")
    known = {"mp4": "mp4", "m4v": "mp4", "mov": "mp4", "webm": "webm", "ogg": "ogg", "wav": "wav"}
    type_ = f"{kind}/{known.get(suffix, 'mpeg' if suffix == 'mp3' else 'octet-stream')}"
    headers = {"Cache-Control": "private, no-cache", "ETag": f'"{found.sha256[:32]}"'}
    descriptor = open_unchanged(found)
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        os.close(descriptor)
        return Response(status_code=304, headers=headers)
    return OpenFileResponse(descriptor, media_type=type_, headers=headers)


@router.head("/videos/{video}/frame", include_in_schema=False)
@router.get("/videos/{video}/frame", responses=MEDIA | PICTURE, response_class=Response)
async def frame(
    service: Current,
    video: VideoId,
    at_s: schemas.Seconds,
    height: Annotated[int, Query(ge=16, le=1080)] = 360,
) -> Response:
    """The picture at a time of a file."""
    found = _video(service, video)
    if found.width == 0 or at_s > found.duration_s:
        raise HTTPException(404, f"'{Path(found.path).name}' has no picture at {at_s:g} s")
    with tempfile.TemporaryDirectory(prefix="seehear-") as folder:
        place = Path(folder) / "frame"
        await _decode(service, found, "frame", at_s=at_s, height_px=height, output=str(place))
        return _picture(place.read_bytes())


@router.head("/items/{item}/proxy", include_in_schema=False)
@router.get("/items/{item}/proxy", responses=MEDIA | FILM, response_class=Response)
async def proxy(service: Current, item: ItemId) -> Response:
    """The moment as a small H.264 file that every browser plays; cached."""
    found = find(service, item)
    video = _video(service, found.video_id)
    place = service.cache / f"{found.id}-{PROXY_HEIGHT_PX}.mp4"
    if place.exists():
        os.close(await run_sync(open_unchanged, video))  # 410 if the file is gone
    else:
        service.cache.mkdir(parents=True, exist_ok=True)
        _make_room(service.cache)
        await _decode(
            service,
            video,
            "proxy",
            start_s=found.start_s,
            end_s=found.end_s,
            height_px=PROXY_HEIGHT_PX,
            output=str(place),
        )
    return FileResponse(place, media_type="video/mp4", headers={"Cache-Control": "private"})


def _make_room(cache: Path) -> None:
    """Delete the oldest proxies beyond the limit."""
    kept = sorted(cache.glob("*.mp4"), key=lambda path: path.stat().st_mtime)
    for path in kept[: max(0, len(kept) - PROXIES)]:
        path.unlink(missing_ok=True)


async def _decode(service: Service, video: Video, work: str, **given: Any) -> None:
    settings = service.settings
    limits = Limits(time_s=3 * settings.decode_s, memory_bytes=settings.decode_bytes)
    descriptor = await run_sync(open_unchanged, video)
    try:
        await service.decoders.run(
            call, work, limits, descriptor=descriptor, path=path_of(descriptor), **given
        )
    except MediaError as error:
        name = Path(video.path).name
        raise MediaError(str(error).replace(path_of(descriptor), name)) from error
    finally:
        os.close(descriptor)


def _video(service: Service, video_id: str) -> Video:
    try:
        return service.library.video(video_id)
    except LibraryError as error:
        raise HTTPException(404, f"no file {video_id} in this library") from error


def _picture(picture: bytes) -> Response:
    kind = "webp" if picture[8:12] == b"WEBP" else "jpeg"
    kept = {"Cache-Control": "private, max-age=3600"}
    return Response(picture, media_type=f"image/{kind}", headers=kept)
