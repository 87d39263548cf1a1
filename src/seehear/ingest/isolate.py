"""Index files in worker processes, so that a decoder crash costs one file and not the run."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import get_context, parent_process
from typing import Any, Protocol, runtime_checkable

from seehear.engine import Engine, load_engine
from seehear.ingest.index_file import IndexedFile, index_file
from seehear.ingest.plan import NewFile
from seehear.store import StagedRows, Staging

IN_FLIGHT = 2  # files per worker, so that none waits for the next
MIN_FILES = 4  # fewer are indexed in this process


@dataclass(frozen=True, kw_only=True, eq=False)
class IndexedGroup:
    """Results committed together. If `staged` is set, workers have already written the items."""

    results: tuple[IndexedFile, ...]
    staged: StagedRows | None = None
    spent_s: Mapping[str, float] = field(default_factory=dict[str, float])  # not counted in results


@runtime_checkable
class Indexer(Protocol):
    """Indexes files here or elsewhere, yielding results as they are ready.

    With `staging` it may write the rows of their items as uncommitted fragments.
    """

    def __call__(
        self,
        engine: Engine,
        files: Sequence[NewFile],
        *,
        workers: int,
        staging: Staging | None = None,
    ) -> Generator[IndexedGroup]: ...


def index_files(
    engine: Engine,
    files: Sequence[NewFile],
    *,
    workers: int,
    staging: Staging | None = None,
) -> Generator[IndexedGroup]:
    """Index files in worker processes of this machine, yielding results as they are ready.

    When a worker crashes, the files it may have crashed on are tried again one by one; a file that
    crashes the decoder again is reported as a problem, and the other files continue.
    """
    if workers < 2 or len(files) < MIN_FILES:
        for new in files:
            yield IndexedGroup(results=(index_file(engine, new),))
        return
    waiting = list(reversed(files))
    while waiting:
        suspects: list[NewFile] = []
        with _pool(engine.manifest, workers) as pool:
            running: dict[Future[IndexedFile], NewFile] = {}
            try:
                while waiting or running:
                    while waiting and len(running) < workers * IN_FLIGHT:
                        new = waiting.pop()
                        running[pool.submit(_work, new)] = new
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        result = future.result()
                        del running[future]
                        yield IndexedGroup(results=(result,))
            except BrokenProcessPool:
                suspects = list(running.values())
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        with IsolatedWorker(engine.manifest) as worker:
            for new in suspects:
                yield IndexedGroup(results=(worker.index(new),))


class IsolatedWorker:
    """Indexes one file at a time in a child process, which is started again after a crash."""

    def __init__(self, manifest: dict[str, Any]) -> None:
        self._manifest = manifest
        self._process: ProcessPoolExecutor | None = None

    def index(self, new: NewFile) -> IndexedFile:
        """Index one file. Raises: ModelError if the engine cannot be loaded there."""
        self._process = self._process or _pool(self._manifest, 1)
        try:
            return self._process.submit(_work, new).result()
        except BrokenProcessPool:
            self.close()
            return IndexedFile(new=new, error="the decoder crashed on this file, so it is left out")

    def close(self) -> None:
        """End the process."""
        if self._process:
            self._process.shutdown()
        self._process = None

    def __enter__(self) -> IsolatedWorker:
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


_manifest: dict[str, Any] = {}  # of the engine, in a worker process


def _start_worker(manifest: dict[str, Any]) -> None:
    """Ignore Ctrl-C, which the parent handles, and exit when the parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    _manifest.update(manifest)


def _exit_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@cache
def _engine() -> Engine:
    return load_engine(_manifest)


def _work(new: NewFile) -> IndexedFile:
    return index_file(_engine(), new)
