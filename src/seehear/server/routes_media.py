"""Thumbnails, frames, files and proxies of indexed videos only."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException

from seehear.errors import LibraryError
from seehear.server import schemas
from seehear.server.problems import refusals
from seehear.server.routes_search import NOT_FOUND, PROBLEMS, find
from seehear.server.sandbox import call
from seehear.server.service import Current, Service
from seehear.types import Video

router = APIRouter(tags=["media"])
VideoId = Annotated[schemas.VideoId, InPath()]
ItemId = Annotated[schemas.ItemId, InPath()]
MEDIA = PROBLEMS | NOT_FOUND | refusals(410)
PICTURE = {200: {"content": {"image/webp": {}, "image/jpeg": {}}, "description": "A picture"}}
FILM = {200: {"content": {"video/mp4": {}}, "description": "A film"}}
PROXY_HEIGHT_PX, PROXIES = 480, 500


@router.get("/items/{item}/thumbnail", responses=MEDIA | PICTURE, response_class=Response)
def thumbnail(service: Current, item: ItemId) -> Response:
    """A small picture of a moment; 404 for a moment without pictures."""
    find(service, item)
    picture = service.library.thumbnail(item)
    if not picture:
        raise HTTPException(404, "this moment has sound only, no picture")
    return _picture(picture)


@router.get("/videos/{video}/media", responses=MEDIA | FILM, response_class=Response)
def media(request: Request, service: Current, video: VideoId) -> Response:
    """The original file; range requests are supported."""
    found = _video(service, video)
    path = unchanged(found)
    kind = "audio" if found.width == 0 else "video"
    suffix = Path(path).suffix.lower().lstrip(".")
    known = {"mp4": "mp4", "m4v": "mp4", "mov": "mp4", "webm": "webm", "ogg": "ogg", "wav": "wav"}
    type_ = f"{kind}/{known.get(suffix, 'mpeg' if suffix == 'mp3' else 'octet-stream')}"
    headers = {"Cache-Control": "private, no-cache", "ETag": f'"{found.sha256[:32]}"'}
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return FileResponse(path, media_type=type_, headers=headers)


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
    path = await run_sync(unchanged, found)
    with tempfile.TemporaryDirectory(prefix="seehear-") as folder:
        place = Path(folder) / "frame"
        await _decode(service, "frame", path=path, at_s=at_s, height_px=height, output=str(place))
        return _picture(place.read_bytes())


@router.get("/items/{item}/proxy", responses=MEDIA | FILM, response_class=Response)
async def proxy(service: Current, item: ItemId) -> Response:
    """The moment as a small H.264 file that every browser plays; cached."""
    found = find(service, item)
    video = _video(service, found.video_id)
    path = await run_sync(unchanged, video)
    place = service.cache / f"{found.id}-{PROXY_HEIGHT_PX}.mp4"
    if not place.exists():
        service.cache.mkdir(parents=True, exist_ok=True)
        _make_room(service.cache)
        await _decode(
            service,
            "proxy",
            path=path,
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


async def _decode(service: Service, work: str, **given: Any) -> None:
    settings = service.settings
    limits = {"time_s": 3 * settings.decode_s, "memory_bytes": settings.decode_bytes}
    await service.decoders.run(call, work, **limits, **given)


def _video(service: Service, video_id: str) -> Video:
    try:
        return service.library.video(video_id)
    except LibraryError as error:
        raise HTTPException(404, f"no file {video_id} in this library") from error


def unchanged(video: Video) -> str:
    """Real path of the indexed file; 410 if the file is missing or changed.

    The recorded path, without links, is compared by size and modification time; a path through a
    link, or of a copy, by its content.
    """
    for path in (video.path, *video.aliases):
        real = os.path.realpath(path)
        try:
            found = os.lstat(real)
        except OSError:
            continue
        if not stat.S_ISREG(found.st_mode) or found.st_size != video.size_bytes:
            continue
        if real == video.path and found.st_mtime_ns // 1000 == video.mtime_us:
            return real
        if _content(real, (found.st_dev, found.st_ino, found.st_ctime_ns)) == video.sha256:
            return real
    raise HTTPException(
        410, f"'{Path(video.path).name}' is missing or has changed since it was indexed"
    )


@lru_cache(maxsize=10_000)
def _content(path: str, _: tuple[int, ...]) -> str:
    """SHA-256 of a file, computed once per state of the file."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _picture(picture: bytes) -> Response:
    kind = "webp" if picture[8:12] == b"WEBP" else "jpeg"
    kept = {"Cache-Control": "private, max-age=3600"}
    return Response(picture, media_type=f"image/{kind}", headers=kept)
