"""Export of moments as a table, an edit list or files."""

from __future__ import annotations

import re
import tempfile
import zipfile
from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse

from seehear.export import Moment, to_csv, to_edl, to_json, to_otio
from seehear.server import schemas
from seehear.server.routes_media import MEDIA, unchanged
from seehear.server.routes_search import find
from seehear.server.sandbox import call
from seehear.server.service import Current, Service
from seehear.server.settings import Settings

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


@router.post("/export", responses=MEDIA | FILE, response_class=Response)
async def export(service: Current, wanted: schemas.ExportIn) -> Response:
    """Moments in the order given, as csv, json, edl, otio, or a zip of clips."""
    must_exist = wanted.format == "clips"
    moments = await run_sync(lambda: _moments(service, wanted.moments, must_exist=must_exist))
    headers = {"Content-Disposition": f'attachment; filename="seehear.{wanted.format}"'}
    if wanted.format != "clips":
        write, kind = TEXTS[wanted.format]
        return Response(write(moments), media_type=kind, headers=headers)
    folder = tempfile.TemporaryDirectory(prefix="seehear-")
    place = Path(folder.name) / "clips.zip"
    await service.exports.run(_cut_all, service.settings, moments, place, exact=wanted.exact)
    headers["Content-Disposition"] = 'attachment; filename="seehear-clips.zip"'

    def pieces() -> Generator[bytes]:
        with folder, place.open("rb") as file:
            while piece := file.read(1 << 20):
                yield piece

    return StreamingResponse(pieces(), media_type="application/zip", headers=headers)


def _moments(service: Service, chosen: list[schemas.MomentIn], *, must_exist: bool) -> list[Moment]:
    videos = {video.id: video for video in service.library.videos()}
    moments: list[Moment] = []
    for one in chosen:
        item = find(service, one.item)
        video = videos[item.video_id]
        moments.append(
            Moment(
                path=unchanged(video) if must_exist else video.path,
                start_s=item.start_s if one.start_s is None else one.start_s,
                end_s=item.end_s if one.end_s is None else one.end_s,
                fps=video.fps,
                duration_s=video.duration_s,
                has_sound=video.sound != "none",
                title=one.title,
            )
        )
    return moments


def _cut_all(settings: Settings, moments: list[Moment], place: Path, *, exact: bool) -> None:
    with zipfile.ZipFile(place, "w", zipfile.ZIP_STORED) as archive:
        for number, moment in enumerate(moments, start=1):
            source = Path(moment.path)
            stem = re.sub(r"[^\w.-]+", "_", source.stem)[:60]
            suffix = ".mp4" if exact else source.suffix
            clip = place.with_name(f"{number:03d}-{stem}{suffix}")
            call(
                "clip",
                time_s=CLIP_S,
                memory_bytes=settings.decode_bytes,
                moment=asdict(moment),
                exact=exact,
                output=str(clip),
            )
            archive.write(clip, clip.name)
            clip.unlink()
