"""Index one file: decode and encode it to a video with its items."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seehear.engine import Engine
from seehear.errors import SeeHearError
from seehear.ingest.plan import NewFile, has_changed
from seehear.media import ItemDecoder, thumbnail
from seehear.types import Clip, Item, Sound, Video


@dataclass(frozen=True, kw_only=True, eq=False)
class IndexedFile:
    """Result for one file: a video with its items, or the reason why it could not be indexed."""

    new: NewFile
    video: Video | None = None
    items: tuple[Item, ...] = ()
    error: str = ""
    spent_s: Mapping[str, float] = field(default_factory=dict[str, float])  # by stage


def index_file(engine: Engine, new: NewFile) -> IndexedFile:
    """Decode and encode one file; errors are returned, not raised."""
    spent = {"decode": 0.0, "encode": 0.0}
    video_id = new.sha256[:32]
    items: list[Item] = []
    decoder = ItemDecoder(Path(new.file.path), engine.media)
    clips = iter(decoder)
    try:
        while True:
            start = time.perf_counter()
            clip = next(clips, None)
            decoded = time.perf_counter()
            spent["decode"] += decoded - start
            if clip is None:
                break
            items.append(_item(engine, clip, f"{video_id}-{len(items):04d}"))
            spent["encode"] += time.perf_counter() - decoded
    except SeeHearError as error:
        return IndexedFile(new=new, error=str(error), spent_s=spent)
    except Exception as error:  # no file may end the run, whatever it triggers
        reason = f"unexpected {type(error).__name__}: {error}"
        return IndexedFile(new=new, error=reason, spent_s=spent)
    if has_changed(new.file):
        return IndexedFile(new=new, error="changed while it was being indexed", spent_s=spent)
    video = _video(new, items, "; ".join(decoder.notes))
    return IndexedFile(new=new, video=video, items=tuple(items), spent_s=spent)


def _item(engine: Engine, clip: Clip, item_id: str) -> Item:
    tokens = engine.encode_clip(clip)
    summary = engine.summary(tokens)
    has_frames = len(clip.frames) > 0
    return Item(
        id=item_id,
        video_id=item_id[:32],
        start_s=clip.start_s,
        end_s=clip.end_s,
        sound=clip.sound,
        seen=summary.frames[0, 0],
        heard=summary.audio[0, 0],
        has_frames=has_frames,
        tokens=tokens,
        thumbnail=thumbnail(clip.frames[len(clip.frames) // 2]) if has_frames else b"",
    )


def _video(new: NewFile, items: Sequence[Item], note: str) -> Video:
    sounds = {item.sound for item in items}
    sound: Sound = "sound" if "sound" in sounds else "silent" if "silent" in sounds else "none"
    info = new.info
    return Video(
        id=new.sha256[:32],
        path=new.file.path,
        aliases=tuple(file.path for file in new.copies),
        sha256=new.sha256,
        size_bytes=new.file.size_bytes,
        mtime_us=new.file.mtime_us,
        duration_s=max((item.end_s for item in items), default=info.duration_s),
        fps=info.fps,
        width=info.width,
        height=info.height,
        codec=info.codec,
        sound=sound,
        audio_rate_hz=info.audio_rate_hz,
        added_us=time.time_ns() // 1000,
        items=len(items),
        note=note,
    )
