"""Carry out a plan in durable batches, or index all files again with another engine."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Protocol, runtime_checkable

from seehear.engine import Engine
from seehear.errors import LibraryError, NothingDoneError, counted
from seehear.ingest.index_file import IndexedFile
from seehear.ingest.isolate import IndexedGroup, Indexer, index_files
from seehear.ingest.plan import (
    FoundFile,
    Plan,
    failed_row,
    file_to_reindex,
    paths_of,
    without_paths,
)
from seehear.store import FileRow, Store
from seehear.types import Item, Video

BATCH_VIDEOS, BATCH_S = 64, 5.0  # commit at whichever comes first
COMMITS_PER_MAINTENANCE = 64
MIN_COMMITS_FOR_MAINTENANCE = 16  # at the end of a run


@runtime_checkable
class Progress(Protocol):
    """Called with the progress of a stage, in files or, for `index`, in seconds of media."""

    def __call__(self, stage: str, done: float, total: float) -> None: ...


@dataclass(kw_only=True)
class Report:
    """Result of an ingest; `problems` lists the files that could not be indexed."""

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
    indexer: Indexer = index_files,
    progress: Progress | None = None,
) -> Report:
    """Index the files of a plan into a store.

    Committed batches survive an interruption; the next run continues from there. Ctrl-C ends the
    run after the files in progress and sets `is_interrupted`.
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
        store.update_metadata(video)
        _record_files(store, (file,), video.sha256)
        report.renamed += 1
    count = min(workers or os.cpu_count() or 1, max(1, len(plan.new)))
    staging = store.writer.staging() if store.backend.is_shared else None
    with closing(indexer(engine, plan.new, workers=count, staging=staging)) as groups:
        _index(engine, store, plan, report, groups, progress)
    remove_paths(store, plan.overwritten)
    if prune:
        report.pruned = remove_paths(store, plan.gone)
        gone = [row.path for row in store.journal.failed() if not os.path.lexists(row.path)]
        store.journal.forget(gone)
    if report.commits % COMMITS_PER_MAINTENANCE > MIN_COMMITS_FOR_MAINTENANCE:
        store.maintain(engine.calibration_queries)
    report.wall_s = time.perf_counter() - started
    return report


def reindex(
    engine: Engine, store: Store, *, workers: int | None = None, progress: Progress | None = None
) -> Report:
    """Index every file of the library again with another engine.

    The old index is used until the new one is complete; an interrupted run continues where it
    stopped. Raises: NothingDoneError if the library already uses this engine; LibraryError if a
    file cannot be read any more, which keeps the old index.
    """
    if engine.manifest["fingerprint"] == store.model["fingerprint"]:
        raise NothingDoneError(f"the library is already indexed with engine {engine.name!r}")
    writer = store.writer
    writer.begin_reindex(engine.manifest, engine.seen_dim, engine.heard_dim)
    report = Report()
    started = time.perf_counter()
    files = [file_to_reindex(video) for video in writer.videos_to_reindex()]
    groups = index_files(engine, files, workers=workers or os.cpu_count() or 1)
    for done, result in enumerate(result for group in groups for result in group.results):
        if result.video is None:
            report.problems.append((result.new.file.path, result.error))
        else:
            store.writer.put_reindexed([(result.video, result.items)])
            _count(report, result.video)
        if progress:
            progress("index", done + 1, len(files))
    if report.problems:
        path, reason = report.problems[0]
        raise LibraryError(
            f"{counted(len(report.problems), 'file')} could not be indexed again, so the old index "
            f"stays; restore or remove these files (first: {path}: {reason})"
        )
    store.writer.finish_reindex()
    report.wall_s = time.perf_counter() - started
    return report


def _index(
    engine: Engine,
    store: Store,
    plan: Plan,
    report: Report,
    groups: Generator[IndexedGroup],
    progress: Progress | None,
) -> None:
    total_s = sum(new.info.duration_s for new in plan.new)
    done_s = 0.0
    batch: list[IndexedGroup] = []
    last_commit = time.monotonic()
    try:
        for group in groups:
            batch.append(group)
            for result in group.results:
                done_s += result.new.info.duration_s
                if progress:
                    progress("index", done_s, total_s)
            size = sum(len(each.results) for each in batch)
            if size >= BATCH_VIDEOS or time.monotonic() - last_commit >= BATCH_S:
                _commit(engine, store, batch, report)
                last_commit = time.monotonic()
    except KeyboardInterrupt:
        report.is_interrupted = True
    finally:
        _commit(engine, store, batch, report)


def _commit(engine: Engine, store: Store, batch: list[IndexedGroup], report: Report) -> None:
    """Put a batch into the store, record its files in the journal, and clear it."""
    started = time.perf_counter()
    staged = [group.staged for group in batch if group.staged]
    videos: list[tuple[Video, Sequence[Item]]] = [
        (result.video, result.items)
        for group in batch
        for result in group.results
        if result.video and not group.staged
    ]
    if videos or any(each.videos for each in staged):
        store.put(videos, staged)
        report.commits += 1
        if report.commits % COMMITS_PER_MAINTENANCE == 0:
            store.maintain(engine.calibration_queries, keep_uncommitted=True)
    for group in batch:
        _add_spent(report, group.spent_s)
        for result in group.results:
            _record(store, result, report)
    batch.clear()
    _add_spent(report, {"store": time.perf_counter() - started})


def _record(store: Store, result: IndexedFile, report: Report) -> None:
    """Record the files of a result in the journal, and count it in the report."""
    _add_spent(report, result.spent_s)
    if result.video is None:
        store.journal.record(failed_row(result.new.file, result.error))
        report.problems.append((result.new.file.path, result.error))
        return
    _record_files(store, result.new.files, result.video.sha256)
    _count(report, result.video)
    if result.video.note:
        report.notes.append((result.video.path, result.video.note))


def _record_files(store: Store, files: Sequence[FoundFile], sha256: str) -> None:
    for file in files:
        store.journal.record(FileRow(**asdict(file), sha256=sha256, state="ok"))


def _count(report: Report, video: Video) -> None:
    report.indexed += 1
    report.items += video.items
    report.media_s += video.duration_s
    report.silent += video.sound != "sound"


def _add_spent(report: Report, spent_s: Mapping[str, float]) -> None:
    for stage, seconds in spent_s.items():
        report.spent_s[stage] = report.spent_s.get(stage, 0.0) + seconds


def remove_paths(store: Store, paths: Sequence[tuple[str, str]]) -> int:
    """Remove (path, sha256) pairs; a video is removed with its last path.

    Returns the number of videos removed.
    """
    lost = set(paths)
    removed: list[str] = []
    for video in store.videos():
        gone = {path for path in paths_of(video) if (path, video.sha256) in lost}
        left = without_paths(video, gone)
        if left is None:
            removed.append(video.id)
        elif gone:
            store.update_metadata(left)
    store.remove(removed)
    return len(removed)
