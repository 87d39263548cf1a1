"""Indexing jobs: one at a time, in a separate process, so that searches stay fast."""

from __future__ import annotations

import multiprocessing
import os
import queue
import secrets
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from seehear.errors import LibraryError, SeeHearError
from seehear.library import Library

NICENESS, REFRESH_S = 8, 5.0
STOP_S = 4.0
STUCK_S = 3600.0  # without progress: the job is stopped
MEMORY_SHARE = 0.75  # of the machine, for a job


@dataclass(kw_only=True)
class Job:
    """State of a job; amounts are seconds of media."""

    id: str
    state: Literal["running", "done", "cancelled", "failed"] = "running"
    done: float = 0.0
    total: float = 0.0
    indexed: int = 0
    items: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    error: str = ""


class Jobs:
    """Starts, watches and stops jobs; keeps the last 100."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._all: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._cancel: Any = None
        self._process: Any = None

    def start(self, paths: list[str], *, prune: bool) -> Job:
        """Start a job. Raises: LibraryError while another one runs."""
        with self._lock:
            if any(job.state == "running" for job in self._all.values()):
                raise LibraryError("an ingest is running already; cancel it or wait until it ends")
            job = Job(id=secrets.token_hex(8))
            self._all[job.id] = job
            while len(self._all) > 100:
                self._all.pop(next(iter(self._all)))
        context = multiprocessing.get_context("spawn")
        news, self._cancel = context.Queue(), context.Event()
        root = self._library.status().root
        self._process = context.Process(
            target=_ingest, args=(root, paths, prune, news, self._cancel)
        )
        self._process.start()
        threading.Thread(target=self._watch, args=(job, self._process, news), daemon=True).start()
        return job

    def get(self, job_id: str) -> Job | None:
        """A job by its id."""
        return self._all.get(job_id)

    def list(self) -> list[Job]:
        """All kept jobs, newest last."""
        return list(self._all.values())

    def cancel(self) -> None:
        """Stop the running job after the files in progress; everything committed stays."""
        if self._cancel is not None:
            self._cancel.set()

    def close(self) -> None:
        """Stop the running job; one that does not stop within STOP_S is killed."""
        self.cancel()
        if self._process is not None:
            self._process.join(timeout=STOP_S)
            if self._process.is_alive():
                self._process.kill()  # everything committed stays

    def _watch(self, job: Job, process: Any, news: Any) -> None:
        """Copy the child's messages into the job; refresh the library as it commits."""
        state: dict[str, Any] = {"state": "running"}
        refreshed = heard = time.monotonic()
        while state["state"] == "running":
            for name, value in state.items():
                setattr(job, name, value)
            try:
                state |= news.get(timeout=0.5)
                heard = time.monotonic()
            except queue.Empty:
                if time.monotonic() - heard > STUCK_S:
                    process.kill()
                    state |= _failed(
                        f"the ingest made no progress for {STUCK_S:.0f} s and was stopped"
                    )
                elif not process.is_alive() and news.empty():
                    state |= _failed(f"the ingest process exited unexpectedly ({_exit(process)})")
            if time.monotonic() - refreshed > REFRESH_S:
                self._library.refresh()
                refreshed = time.monotonic()
        process.join()
        self._library.refresh()
        for name, value in state.items():
            setattr(job, name, value)


def _failed(reason: str) -> dict[str, str]:
    """State of a job that did not finish."""
    return {"state": "failed", "error": f"{reason}; everything committed stays"}


def _exit(process: Any) -> str:
    """How a process ended: its signal or exit code."""
    code = process.exitcode
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


def _limit_memory(share: float) -> None:
    """Limit this process to a share of the machine's memory (Linux only)."""
    if sys.platform == "linux":
        import resource

        most = int(share * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _ingest(root: str, paths: list[str], prune: bool, news: Any, cancel: Any) -> None:
    """In the child: index, report progress, stop after the files in progress when cancelled."""
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    _limit_memory(MEMORY_SHARE)

    def progress(stage: str, done: float, total: float) -> None:
        if stage == "index":
            news.put({"done": done, "total": total})
        if cancel.is_set():
            raise KeyboardInterrupt

    try:
        with Library.open(root) as library:
            report = library.add(paths, prune=prune, workers=1, progress=progress)
    except KeyboardInterrupt:
        news.put({"state": "cancelled"})
    except (SeeHearError, OSError) as error:
        news.put({"error": str(error), "state": "failed"})
    else:
        found = {k: v for k, v in asdict(report).items() if k in ("indexed", "items", "problems")}
        news.put(found | {"state": "cancelled" if report.is_interrupted else "done"})
