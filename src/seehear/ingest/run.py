"""Carry out a plan: index what is new, note what moved, drop what is gone; every batch durable."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Protocol, runtime_checkable

from seehear.engine import Engine
from seehear.errors import LibraryError, NothingDoneError
from seehear.ingest.plan import (
    FoundFile,
    Plan,
    all_paths,
    failed_row,
    files_of,
    known_file,
    without_paths,
)
from seehear.ingest.work import Group, Indexed, Work, index_all
from seehear.store import FileRow, Store
from seehear.types import Item, Video

BATCH_VIDEOS, BATCH_S = 64, 5.0  # commit at whichever comes first
COMMITS_PER_CLEANING = 64  # compact then, so that commits stay as quick as the first


@runtime_checkable
class Progress(Protocol):
    """Told how far each stage is; amounts are files, or seconds of media for `index`."""

    def __call__(self, stage: str, done: float, total: float) -> None: ...


@dataclass(kw_only=True)
class Report:
    """What an ingest did; a file that could not be indexed is a row of `problems`."""

    indexed: int = 0
    items: int = 0
    media_s: float = 0.0
    silent: int = 0
    unchanged: int = 0
    renamed: int = 0
    pruned: int = 0
    gone: tuple[tuple[str, str], ...] = ()
    is_interrupted: bool = False
    problems: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    notes: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    spent_s: dict[str, float] = field(default_factory=dict[str, float])  # by stage
    wall_s: float = 0.0
    commits: int = 0


def run(
    engine: Engine,
    store: Store,
    plan: Plan,
    *,
    prune: bool = False,
    workers: int | None = None,
    work: Work = index_all,
    progress: Progress | None = None,
) -> Report:
    """Index the plan's files into the store.

    What was committed before an interruption stays; the next run goes on from there. Ctrl-C ends
    the run after the files in flight and is told in the report.
    """
    started = time.perf_counter()
    report = Report(
        unchanged=plan.unchanged,
        problems=list(plan.problems),
        gone=() if prune else plan.gone,
        spent_s={"decode": 0.0, "encode": 0.0, "store": 0.0},
    )
    for row in plan.failed:
        store.journal.record(row)
    for file, video in plan.renamed:
        store.relabel(video)
        _remember(store, (file,), video.sha256)
        report.renamed += 1
    count = min(workers or os.cpu_count() or 1, max(1, len(plan.new)))
    with closing(work(engine, plan.new, workers=count, staging=store.staging())) as groups:
        _index(engine, store, plan, report, groups, progress)
    drop_paths(store, plan.overwritten)
    if prune:
        report.pruned = drop_paths(store, plan.gone)
        gone = [row.path for row in store.journal.failed() if not os.path.lexists(row.path)]
        store.journal.forget(gone)
    if report.commits % COMMITS_PER_CLEANING > 16:
        store.maintain(engine.calibration_queries)
    report.wall_s = time.perf_counter() - started
    return report


def reindex(
    engine: Engine, store: Store, *, workers: int | None = None, progress: Progress | None = None
) -> Report:
    """Index every file of the library again with another engine, beside the old index.

    The old index answers until the new one is complete; an interrupted run goes on from where it
    was. Raises: NothingDoneError if the library already holds what this engine makes; LibraryError
    if a file cannot be read any more: the old index then stays.
    """
    if engine.manifest["fingerprint"] == store.model["fingerprint"]:
        raise NothingDoneError(f"the library already holds what engine {engine.name!r} makes")
    store.begin_model(engine.manifest, seen_dim=engine.seen_dim, heard_dim=engine.heard_dim)
    report = Report()
    started = time.perf_counter()
    files = [known_file(video) for video in store.to_fill()]
    groups = index_all(engine, files, workers=workers or os.cpu_count() or 1)
    for done, result in enumerate(result for group in groups for result in group.results):
        if result.video is None:
            report.problems.append((result.new.file.path, result.error))
        else:
            store.fill([(result.video, result.items)])
            _count(report, result.video)
        if progress:
            progress("index", done + 1, len(files))
    if report.problems:
        path, reason = report.problems[0]
        raise LibraryError(
            f"{len(report.problems)} files could not be indexed again, so the old index stays; "
            f"bring them back or remove them from the library (first: {path}: {reason})"
        )
    store.activate()
    report.wall_s = time.perf_counter() - started
    return report


def _index(
    engine: Engine,
    store: Store,
    plan: Plan,
    report: Report,
    groups: Generator[Group],
    progress: Progress | None,
) -> None:
    total_s = sum(new.info.duration_s for new in plan.new)
    done_s = 0.0
    batch: list[Group] = []
    last_commit = time.monotonic()
    try:
        for group in groups:
            batch.append(group)
            for result in group.results:
                done_s += result.new.info.duration_s
                if progress:
                    progress("index", done_s, total_s)
            held = sum(len(each.results) for each in batch)
            if held >= BATCH_VIDEOS or time.monotonic() - last_commit >= BATCH_S:
                _commit(engine, store, batch, report)
                last_commit = time.monotonic()
    except KeyboardInterrupt:
        report.is_interrupted = True
    finally:
        _commit(engine, store, batch, report)


def _commit(engine: Engine, store: Store, batch: list[Group], report: Report) -> None:
    """Put a batch, then remember its files; empties the batch."""
    started = time.perf_counter()
    staged = [group.staged for group in batch if group.staged]
    good: list[tuple[Video, Sequence[Item]]] = [
        (result.video, result.items)
        for group in batch
        for result in group.results
        if result.video and not group.staged
    ]
    if good or any(each.videos for each in staged):
        store.put(good, staged)
        report.commits += 1
        if report.commits % COMMITS_PER_CLEANING == 0:
            store.maintain(engine.calibration_queries, in_flight=True)
    for group in batch:
        _note_spent(report, group.spent_s)
        for result in group.results:
            _note(store, result, report)
    batch.clear()
    _note_spent(report, {"store": time.perf_counter() - started})


def _note(store: Store, result: Indexed, report: Report) -> None:
    """Remember the files of a result, and count it."""
    _note_spent(report, result.spent_s)
    if result.video is None:
        store.journal.record(failed_row(result.new.file, result.error))
        report.problems.append((result.new.file.path, result.error))
        return
    _remember(store, files_of(result.new), result.video.sha256)
    _count(report, result.video)
    if result.video.note:
        report.notes.append((result.video.path, result.video.note))


def _count(report: Report, video: Video) -> None:
    report.indexed += 1
    report.items += video.items
    report.media_s += video.duration_s
    report.silent += video.sound != "sound"


def _note_spent(report: Report, spent_s: Mapping[str, float]) -> None:
    for stage, seconds in spent_s.items():
        report.spent_s[stage] = report.spent_s.get(stage, 0.0) + seconds


def _remember(store: Store, files: Sequence[FoundFile], sha256: str) -> None:
    for file in files:
        store.journal.record(FileRow(**asdict(file), sha256=sha256, state="ok"))


def drop_paths(store: Store, places: Sequence[tuple[str, str]]) -> int:
    """Take (path, sha256) pairs out of the library; a video goes when its last path does.

    Returns the number of videos that went.
    """
    lost = set(places)
    removed: list[str] = []
    for video in store.videos():
        gone = {path for path in all_paths(video) if (path, video.sha256) in lost}
        left = without_paths(video, gone)
        if left is None:
            removed.append(video.id)
        elif gone:
            store.relabel(left)
    store.remove(removed)
    return len(removed)
