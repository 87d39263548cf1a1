"""Search by words, by a moment, by a file; what the library holds."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Query, Request, UploadFile
from fastapi import Path as InPath
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from seehear.errors import LibraryError, UsageError
from seehear.server import shapes
from seehear.server.guard import link
from seehear.server.problems import refusals
from seehear.server.sandbox import read_example
from seehear.types import Answer, Clip, Filter, Hit, Item, Video

router = APIRouter(tags=["search"])
PROBLEMS, NOT_FOUND = refusals(422, 429, 503), refusals(404)


@router.post("/search", responses=PROBLEMS | NOT_FOUND)
async def search(request: Request, ask: shapes.Ask) -> shapes.AnswerOut:
    """The best moments for words, or for what is like a moment of this library."""
    service = request.app.state.service
    like = find(service, ask.item) if ask.item else ""
    return await _answer(service, ask, like)


@router.post("/search/upload", responses=PROBLEMS | refusals(413))
async def search_upload(
    request: Request,
    file: Annotated[UploadFile, File(description="A sound, a picture or a clip.")],
    ask: Annotated[
        str, Form(description="The other fields of a search, as JSON.", max_length=10000)
    ] = "{}",
) -> shapes.AnswerOut:
    """The best moments for what is like an uploaded sound, picture or clip."""
    service = request.app.state.service
    wanted = _parsed(ask)
    if wanted.text or wanted.item:
        raise UsageError("an upload is the question; leave 'text' and 'item' out")
    with tempfile.TemporaryDirectory(prefix="seehear-") as folder:
        place = Path(folder) / _plain(file.filename or "")
        await _receive(file, place, service.settings.upload_bytes)
        clip = await service.decoders.run(
            read_example,
            place,
            service.library.engine.media,
            time_s=service.settings.decode_s,
            memory_bytes=service.settings.decode_bytes,
        )
    return await _answer(service, wanted, clip)


def _parsed(text: str) -> shapes.Ask:
    try:
        return shapes.Ask.model_validate(json.loads(text))
    except (ValueError, ValidationError, RecursionError) as error:
        raise UsageError(f"'ask' is not a search: {str(error).splitlines()[0]}") from error


def _plain(name: str) -> str:
    """What a message may call an upload; no ending, so that its content alone says what it is."""
    return re.sub(r"[^\w-]+", "_", Path(name).stem, flags=re.ASCII)[:100] or "upload"


async def _receive(file: UploadFile, place: Path, most: int) -> None:
    size = 0
    with place.open("wb") as out:
        while piece := await file.read(1 << 20):
            size += len(piece)
            if size > most:
                raise HTTPException(413, f"the upload is larger than {most >> 20} MB")
            out.write(piece)


async def _answer(service: Any, ask: shapes.Ask, like: Clip | Item | str) -> shapes.AnswerOut:
    answer: Answer = await service.searches.run(
        service.library.search,
        ask.text,
        like=like,
        mode=ask.mode,
        audio_weight=ask.audio_weight,
        limit=ask.offset + ask.limit,
        where=Filter(**ask.where.model_dump()),
        stage1="all" if ask.exact else "union",
    )
    shown = answer.hits[ask.offset :]
    hits = [_hit(service, hit, service.library.video(hit.video_id)) for hit in shown]
    more = len(answer.hits) == ask.offset + ask.limit < answer.items_searched
    return shapes.AnswerOut(
        engine=answer.engine,
        verdict=answer.verdict,
        audio_weight=answer.audio_weight,
        items_searched=answer.items_searched,
        videos_searched=answer.videos_searched,
        hits=hits,
        next_offset=ask.offset + ask.limit if more and ask.offset + ask.limit <= 1000 else None,
    )


def _hit(service: Any, hit: Hit, video: Video) -> shapes.HitOut:
    def strip(times: Any, weights: Any, tags: Any) -> shapes.Strip:
        named = [shapes.Tag(name=name, share=share) for name, share in tags]
        return shapes.Strip(times_s=list(times), weights=list(weights), tags=named)

    return shapes.HitOut(
        rank=hit.rank,
        item=hit.item_id,
        video=hit.video_id,
        path=hit.path,
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
        sight=strip(hit.frame_times_s, hit.frame_weights, hit.seen_tags),
        hearing=strip(hit.sound_times_s, hit.sound_weights, hit.heard_tags),
        **links(service, hit.item_id, hit.video_id),
    )


def links(service: Any, item_id: str, video_id: str) -> dict[str, str]:
    """Where an item's picture, its file, its frames and a playable copy of the moment are."""
    return {
        "thumbnail": link(service.settings, f"/api/v1/items/{item_id}/thumbnail"),
        "media": link(service.settings, f"/api/v1/videos/{video_id}/media"),
        "frame": link(service.settings, f"/api/v1/videos/{video_id}/frame"),
        "proxy": link(service.settings, f"/api/v1/items/{item_id}/proxy"),
    }


def find(service: Any, item_id: str) -> Item:
    """An item, or 404."""
    try:
        return service.library.item(item_id)
    except LibraryError as error:
        raise HTTPException(404, f"no moment {item_id} in this library") from error


def _item(service: Any, item: Item, path: str) -> shapes.ItemOut:
    return shapes.ItemOut(
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
    request: Request,
    after: Annotated[str, Query(max_length=64, description="`next` of the page before")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> shapes.ItemsOut:
    """All moments, by id, page by page."""
    service = request.app.state.service
    paths = {video.id: video.path for video in service.library.videos()}
    page: list[Item] = []
    for item in service.library.items():
        if item.id > after:
            page.append(item)
        if len(page) > limit:
            break
    shown = [_item(service, item, paths[item.video_id]) for item in page[:limit]]
    return shapes.ItemsOut(items=shown, next=shown[-1].item if len(page) > limit else None)


@router.get("/items/{item}", responses=PROBLEMS | NOT_FOUND)
def item(request: Request, item: Annotated[shapes.Ident, InPath()]) -> shapes.ItemOut:
    """One moment."""
    service = request.app.state.service
    found = find(service, item)
    return _item(service, found, service.library.video(found.video_id).path)


@router.get("/status", responses=PROBLEMS)
def status(request: Request) -> shapes.StatusOut:
    """What the library holds, and what could not be indexed."""
    service = request.app.state.service
    held = service.library.status()
    folders = {str(Path(video.path).parent) for video in service.library.videos()}
    fields = {
        name: getattr(held, name)
        for name in shapes.StatusOut.model_fields
        if name not in ("failed", "folders", "tells_fit")
    }
    fields["tells_fit"] = service.library.engine.has_av_correspondence
    failed = [shapes.Failed(path=path, reason=reason) for path, reason in held.failed]
    return shapes.StatusOut(**fields, failed=failed, folders=sorted(folders)[:1000])
