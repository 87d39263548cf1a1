"""Search by text, moment or file; list moments; status of the library."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Query, UploadFile
from fastapi import Path as InPath
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from seehear.errors import LibraryError, UsageError
from seehear.server import schemas
from seehear.server.guard import link
from seehear.server.problems import refusals
from seehear.server.sandbox import Limits, read_example
from seehear.server.service import Current, CurrentPaths, Paths, Service
from seehear.types import Answer, Clip, Filter, Hit, Item, Video

router = APIRouter(tags=["search"])
PROBLEMS, NOT_FOUND = refusals(422, 429, 503), refusals(404)


@router.post("/search", responses=PROBLEMS | NOT_FOUND)
async def search(
    service: Current, paths: CurrentPaths, wanted: schemas.SearchIn
) -> schemas.AnswerOut:
    """The best moments for a text, or the most similar ones to a moment of this library."""
    like = find(service, wanted.item) if wanted.item else ""
    return await _answer(service, paths, wanted, like)


@router.post("/search/upload", responses=PROBLEMS | refusals(413))
async def search_upload(
    service: Current,
    paths: CurrentPaths,
    file: Annotated[UploadFile, File(description="A sound, a picture or a clip.")],
    query: Annotated[
        str, Form(description="The other fields of a search, as JSON.", max_length=10000)
    ] = "{}",
) -> schemas.AnswerOut:
    """The most similar moments to an uploaded sound, picture or clip."""
    wanted = _parsed(query)
    if wanted.text or wanted.item:
        raise UsageError("an upload is the query; leave out 'text' and 'item'")
    with tempfile.TemporaryDirectory(prefix="seehear-") as folder:
        place = Path(folder) / _plain(file.filename or "")
        await _receive(file, place, service.settings.upload_bytes)
        settings = service.settings
        limits = Limits(time_s=settings.decode_s, memory_bytes=settings.decode_bytes)
        clip = await service.decoders.run(read_example, place, service.library.engine.media, limits)
    return await _answer(service, paths, wanted, clip)


def _parsed(text: str) -> schemas.SearchIn:
    try:
        return schemas.SearchIn.model_validate(json.loads(text))
    except (ValueError, ValidationError, RecursionError) as error:
        raise UsageError(f"'query' is not a search: {str(error).splitlines()[0]}") from error


def _plain(name: str) -> str:
    """A safe name for an upload, without suffix: its content decides its type."""
    return re.sub(r"[^\w-]+", "_", Path(name).stem, flags=re.ASCII)[:100] or "upload"


async def _receive(file: UploadFile, place: Path, most: int) -> None:
    size = 0
    with place.open("wb") as out:
        while piece := await file.read(1 << 20):
            size += len(piece)
            if size > most:
                raise HTTPException(413, f"the upload is larger than {most >> 20} MB")
            out.write(piece)


async def _answer(
    service: Service, paths: Paths, wanted: schemas.SearchIn, like: Clip | Item | str
) -> schemas.AnswerOut:
    end = wanted.offset + wanted.limit
    answer: Answer = await service.searches.run(
        service.library.search,
        wanted.text,
        like=like,
        mode=wanted.mode,
        audio_weight=wanted.audio_weight,
        limit=end,
        where=_filter(paths, wanted.where),
        stage1="all" if wanted.exact else "union",
    )
    shown = answer.hits[wanted.offset :]
    hits = [_hit(service, paths, hit, service.library.video(hit.video_id)) for hit in shown]
    more = len(answer.hits) == end < answer.items_searched and end <= 1000
    return schemas.AnswerOut(
        engine=answer.engine,
        verdict=answer.verdict,
        audio_weight=answer.audio_weight,
        items_searched=answer.items_searched,
        videos_searched=answer.videos_searched,
        hits=hits,
        next_offset=end if more else None,
    )


def _filter(paths: Paths, where: schemas.FilterIn) -> Filter:
    fields = where.model_dump()
    if where.folder is not None:
        fields["folder"] = paths.resolved(where.folder)
    return Filter(**fields)


def _hit(service: Service, paths: Paths, hit: Hit, video: Video) -> schemas.HitOut:
    def timeline(times: Any, weights: Any, tags: Any) -> schemas.TimelineOut:
        named = [schemas.TagOut(name=name, share=share) for name, share in tags]
        return schemas.TimelineOut(times_s=list(times), weights=list(weights), tags=named)

    return schemas.HitOut(
        rank=hit.rank,
        item=hit.item_id,
        video=hit.video_id,
        path=paths.shown(hit.path),
        name=Path(hit.path).name,
        start_s=hit.start_s,
        end_s=hit.end_s,
        duration_s=video.duration_s,
        fps=video.fps,
        score=hit.score,
        confidence=hit.confidence,
        seen=hit.seen,
        heard=hit.heard,
        sound=hit.sound,
        av_correspondence=hit.av_correspondence,
        seen_timeline=timeline(hit.frame_times_s, hit.frame_weights, hit.seen_tags),
        heard_timeline=timeline(hit.sound_times_s, hit.sound_weights, hit.heard_tags),
        **links(service, hit.item_id, hit.video_id),
    )


def links(service: Service, item_id: str, video_id: str) -> dict[str, str]:
    """Links to a moment's thumbnail, file, frames and playable proxy."""
    return {
        "thumbnail": link(service.settings, f"/api/v1/items/{item_id}/thumbnail"),
        "media": link(service.settings, f"/api/v1/videos/{video_id}/media"),
        "frame": link(service.settings, f"/api/v1/videos/{video_id}/frame"),
        "proxy": link(service.settings, f"/api/v1/items/{item_id}/proxy"),
    }


def find(service: Service, item_id: str) -> Item:
    """An item, or 404."""
    try:
        return service.library.item(item_id)
    except LibraryError as error:
        raise HTTPException(404, f"no moment {item_id} in this library") from error


def _item(service: Service, item: Item, path: str) -> schemas.ItemOut:
    return schemas.ItemOut(
        item=item.id,
        video=item.video_id,
        path=path,
        start_s=item.start_s,
        end_s=item.end_s,
        sound=item.sound,
        **links(service, item.id, item.video_id),
    )


@router.get("/items", responses=PROBLEMS)
def items(
    service: Current,
    shown_paths: CurrentPaths,
    after: Annotated[str, Query(max_length=64, description="`next` of the page before")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> schemas.ItemsOut:
    """All moments by id, in pages."""
    paths = {video.id: shown_paths.shown(video.path) for video in service.library.videos()}
    page: list[Item] = []
    for item in service.library.items():
        if item.id > after:
            page.append(item)
        if len(page) > limit:
            break
    shown = [_item(service, item, paths[item.video_id]) for item in page[:limit]]
    return schemas.ItemsOut(items=shown, next=shown[-1].item if len(page) > limit else None)


@router.get("/items/{item}", responses=PROBLEMS | NOT_FOUND)
def item(
    service: Current, paths: CurrentPaths, item: Annotated[schemas.ItemId, InPath()]
) -> schemas.ItemOut:
    """One moment."""
    found = find(service, item)
    return _item(service, found, paths.shown(service.library.video(found.video_id).path))


@router.get("/status", responses=PROBLEMS)
def status(service: Current, paths: CurrentPaths) -> schemas.StatusOut:
    """Counts of the library, and files that could not be indexed."""
    found = service.library.status()
    folders = {str(Path(paths.shown(v.path)).parent) for v in service.library.videos()}
    fields = {
        name: getattr(found, name)
        for name in schemas.StatusOut.model_fields
        if name not in ("failed", "folders", "has_av_correspondence")
    }
    fields["has_av_correspondence"] = service.library.engine.has_av_correspondence
    fields["root"] = paths.within(found.root)
    failed = [
        schemas.FailedOut(path=paths.shown(path), reason=paths.within(reason))
        for path, reason in found.failed
    ]
    return schemas.StatusOut(**fields, failed=failed, folders=sorted(folders)[:1000])
