"""One file -> one video with its items: what a worker process does, and the pool of workers."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from seehear.engine import Engine, load_engine
from seehear.errors import SeeHearError
from seehear.ingest.plan import NewFile, files_of, has_changed
from seehear.media import ItemDecoder, thumbnail
from seehear.store import Staged, Staging
from seehear.types import Clip, Item, Sound, Video


@dataclass(frozen=True, kw_only=True, eq=False)
class Indexed:
    """What became of one file: a video with items, or a reason why not."""

    new: NewFile
    video: Video | None = None
    items: tuple[Item, ...] = ()
    error: str = ""
    spent_s: Mapping[str, float] = field(default_factory=dict[str, float])  # by stage


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """Results that belong together; items that lie in the library already are not among them."""

    results: tuple[Indexed, ...]
    staged: Staged | None = None
    spent_s: Mapping[str, float] = field(default_factory=dict[str, float])  # beside that of files


def index_file(engine: Engine, new: NewFile) -> Indexed:
    """Decode and encode one file; a file that cannot be read gives its reason."""
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
        return Indexed(new=new, error=str(error), spent_s=spent)
    except Exception as error:  # a file must never end the run, whatever it brings to light
        reason = f"unexpected {type(error).__name__}: {error}"
        return Indexed(new=new, error=reason, spent_s=spent)
    if has_changed(new.file):
        return Indexed(new=new, error="changed while it was being indexed", spent_s=spent)
    video = _video(new, items, "; ".join(decoder.notes))
    return Indexed(new=new, video=video, items=tuple(items), spent_s=spent)


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
        aliases=tuple(file.path for file in files_of(new)[1:]),
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


@runtime_checkable
class Work(Protocol):
    """Indexes files somewhere, results as they come; with `staging` it may lay down their rows."""

    def __call__(
        self,
        engine: Engine,
        files: Sequence[NewFile],
        *,
        workers: int,
        staging: Staging | None = None,
    ) -> Generator[Group]: ...


_manifest: dict[str, Any] = {}


def _start_worker(manifest: dict[str, Any]) -> None:
    """Workers leave Ctrl-C to the process that started them, and end when it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _manifest.update(manifest)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@cache
def _engine() -> Engine:
    return load_engine(_manifest)


def _work(new: NewFile) -> Indexed:
    return index_file(_engine(), new)


def index_all(
    engine: Engine,
    files: Sequence[NewFile],
    *,
    workers: int,
    staging: Staging | None = None,
    in_flight: int = 2,
) -> Generator[Group]:
    """Index files in worker processes, results as they come; few files need no processes.

    A file on which a worker process dies (a crash inside a decoder) is tried again alone and, if
    it kills that worker too, reported as unreadable; the others go on.
    """
    if workers < 2 or len(files) < 4:
        for new in files:
            yield Group(results=(index_file(engine, new),))
        return
    waiting = list(reversed(files))
    while waiting:
        suspects: list[NewFile] = []
        with _pool(engine.manifest, workers) as pool:
            running: dict[Future[Indexed], NewFile] = {}
            try:
                while waiting or running:
                    while waiting and len(running) < workers * in_flight:
                        new = waiting.pop()
                        running[pool.submit(_work, new)] = new
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        result = future.result()
                        del running[future]
                        yield Group(results=(result,))
            except BrokenProcessPool:
                suspects = list(running.values())
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        with Apart(engine.manifest) as apart:
            for new in suspects:
                yield Group(results=(apart.index(new),))


class Apart:
    """Indexes one file after another in a process that may die of it; then the next begins anew."""

    def __init__(self, manifest: dict[str, Any]) -> None:
        self._manifest = manifest
        self._held: ProcessPoolExecutor | None = None

    def index(self, new: NewFile) -> Indexed:
        """Raises: ModelError if the engine cannot be loaded there."""
        self._held = self._held or _pool(self._manifest, 1)
        try:
            return self._held.submit(_work, new).result()
        except BrokenProcessPool:
            self.close()
            reason = f"{new.file.path!r} made the decoder crash; it is left out"
            return Indexed(new=new, error=reason)

    def close(self) -> None:
        """End the process."""
        if self._held:
            self._held.shutdown()
        self._held = None

    def __enter__(self) -> Apart:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _pool(manifest: dict[str, Any], workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        workers,
        mp_context=get_context("spawn"),
        initializer=_start_worker,
        initargs=(manifest,),
    )
