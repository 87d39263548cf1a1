"""One ingest at a time, in a process of its own, so that searches stay quick."""

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

NICENESS, LOOK_S = 8, 5.0
STUCK_S = 3600.0  # without a word from an ingest: it is stopped
MEMORY_SHARE = 0.75  # of the machine that an ingest may take


@dataclass(kw_only=True)
class Job:
    """How far an ingest is; amounts are seconds of media."""

    id: str
    state: Literal["running", "done", "cancelled", "failed"] = "running"
    done: float = 0.0
    total: float = 0.0
    indexed: int = 0
    items: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    error: str = ""


class Jobs:
    """Starts, watches and stops ingests; remembers the last ones."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._all: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._cancel: Any = None
        self._process: Any = None

    def start(self, paths: list[str], *, prune: bool) -> Job:
        """Begin. Raises: LibraryError while another ingest of this service runs."""
        with self._lock:
            if any(job.state == "running" for job in self._all.values()):
                raise LibraryError("an ingest is running already; cancel it or wait for its end")
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
        """All jobs that are remembered, the newest last."""
        return list(self._all.values())

    def cancel(self) -> None:
        """Ask the running one to stop after the files in flight; what is committed stays."""
        if self._cancel is not None:
            self._cancel.set()

    def close(self) -> None:
        """Stop and wait a little: for the end of the service."""
        self.cancel()
        if self._process is not None:
            self._process.join(timeout=20)
            if self._process.is_alive():
                self._process.terminate()

    def _watch(self, job: Job, process: Any, news: Any) -> None:
        """Pass on what the child tells; what it committed is searched from then on."""
        told: dict[str, Any] = {"state": "running"}
        looked = heard = time.monotonic()
        while told["state"] == "running":
            for name, value in told.items():
                setattr(job, name, value)
            try:
                told |= news.get(timeout=0.5)
                heard = time.monotonic()
            except queue.Empty:
                if time.monotonic() - heard > STUCK_S:
                    process.kill()
                    told |= _failed(
                        f"the ingest did not come on for {STUCK_S:.0f} s and was stopped"
                    )
                elif not process.is_alive() and news.empty():
                    told |= _failed("the ingest ended without a word")
            if time.monotonic() - looked > LOOK_S:
                self._library.refresh()
                looked = time.monotonic()
        process.join()
        self._library.refresh()
        for name, value in told.items():
            setattr(job, name, value)


def _failed(reason: str) -> dict[str, str]:
    """What a job tells that did not reach its end."""
    return {"state": "failed", "error": f"{reason}; what was committed stays"}


def _limit_memory(share: float) -> None:
    """Refuse this process more than a share of the machine's memory, where that can be done."""
    if sys.platform == "linux":
        import resource

        most = int(share * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _ingest(root: str, paths: list[str], prune: bool, news: Any, cancel: Any) -> None:
    """The child: indexes, tells how far it is, ends after the files in flight when asked."""
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
        told = {k: v for k, v in asdict(report).items() if k in ("indexed", "items", "problems")}
        news.put(told | {"state": "cancelled" if report.is_interrupted else "done"})
