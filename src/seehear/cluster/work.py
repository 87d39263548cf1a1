"""Indexing on Ray Data: workers get paths and return rows; frames never leave a worker.

For a library on S3 the workers write uncommitted fragments and return their names; for a library in
a folder of this machine they return the items.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
import time
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from seehear.engine import Engine
from seehear.errors import LibraryError, ModelError, SeeHearError, UsageError
from seehear.ingest import IndexedFile, IndexedGroup, Indexer, IsolatedWorker, NewFile
from seehear.store import Backend, Staging, backend_for

TRIES = 4  # of a group whose workers die; then its files are retried in the next round
ROUNDS = (16, 1, 1)  # most files in a group, per round
START_FAILURES = 20  # consecutive workers that fail to start; then the job ends
CONNECT_S = 5.0
IN_FLIGHT = 2  # groups per worker, so that no worker waits
QUIET = {"RAY_BACKEND_LOG_LEVEL": "fatal", "RAY_DEDUP_LOGS_SKIP_REGEX": "(?s).*"}
GROUP_S = 60.0  # of media in a group, unless one file alone is longer


class IndexFiles:
    """Decodes and encodes files in a worker; the engine is loaded from the worker's own disk."""

    def __init__(self, manifest: dict[str, Any], staging: Staging | None) -> None:
        self._worker = IsolatedWorker(manifest)
        self._staging = staging

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Results of a group of files, or an error that no file caused."""
        try:
            made: IndexedGroup | Exception = self.index(pickle.loads(row["files"]))
        except SeeHearError as error:
            made = error
        except Exception as error:  # Ray Data would print fifty lines
            made = LibraryError(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")
        return {"number": row["number"], "made": pickle.dumps(made)}

    def index(self, files: Sequence[NewFile]) -> IndexedGroup:
        """Index files; with `staging`, their items are written and not returned."""
        results = tuple(self._worker.index(new) for new in files)
        if self._staging is None:
            return IndexedGroup(results=results)
        begun = time.perf_counter()
        good = [(result.video, result.items) for result in results if result.video]
        return IndexedGroup(
            results=tuple(replace(result, items=()) for result in results),
            staged=self._staging.write_fragments(good, self._backend),
            spent_s={"write": time.perf_counter() - begun},
        )

    @cached_property
    def _backend(self) -> Backend:
        assert self._staging is not None
        backend = backend_for(self._staging.root)
        backend.require_library()
        return backend


def on_ray(address: str) -> Indexer:
    """Indexer for `Library.add` that runs on every free core of a cluster.

    Raises: UsageError, once there is work, without Ray or a reachable cluster.
    """

    def index_files(
        engine: Engine,
        files: Sequence[NewFile],
        *,
        workers: int,
        staging: Staging | None = None,
    ) -> Generator[IndexedGroup]:
        left = list(files)
        for most in ROUNDS:
            if left:
                left = yield from _round(connected(address), left, most, (engine, staging))
        for new in left:
            reason = f"every worker that read {new.file.path!r} died; the file is skipped"
            yield IndexedGroup(results=(IndexedFile(new=new, error=reason),))

    return index_files


def _round(
    ray: Any, files: Sequence[NewFile], most: int, operator: tuple[Engine, Staging | None]
) -> Generator[IndexedGroup, None, list[NewFile]]:
    """Yield finished groups; return the files of groups whose workers died."""
    waiting: dict[int, list[NewFile]] = {}
    try:
        cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
        free = max(1, int(ray.available_resources().get("CPU", 1)))  # other jobs keep theirs
        share = max(1, len(files) // (IN_FLIGHT * cores))
        waiting |= enumerate(_grouped(files, min(most, share)))
        for row in _rows(waiting, free, *operator).iter_rows():
            del waiting[row["number"]]
            yield _group(pickle.loads(row["made"]))
    except ray.exceptions.RayError as error:
        raise LibraryError(_reason(str(error))) from error
    return [new for group in waiting.values() for new in group]


def _rows(
    groups: dict[int, list[NewFile]], workers: int, engine: Engine, staging: Staging | None
) -> Any:
    """The pipeline: a block per group, one operator, `workers` actors at first, then all cores.

    Note: a block whose actor died TRIES times is skipped.
    """
    from ray.data import ActorPoolStrategy, from_items

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    blocks = [{"number": at, "files": pickle.dumps(files)} for at, files in groups.items()]
    data: Any = from_items(blocks, override_num_blocks=len(blocks))
    data.context.enable_progress_bars = False
    data.context.max_errored_blocks = -1
    data.context.max_consecutive_actor_init_deaths = START_FAILURES
    pool = ActorPoolStrategy(
        min_size=1,
        max_size=len(blocks),
        initial_size=min(workers, len(blocks)),
        max_tasks_in_flight_per_actor=IN_FLIGHT,
    )
    with warnings.catch_warnings(action="ignore"):  # Ray 2.64 renames the last two
        return data.map(
            IndexFiles,
            fn_constructor_args=(engine.manifest, staging),
            compute=pool,
            num_cpus=1,
            max_restarts=-1,
            max_task_retries=TRIES - 1,
        )


def _grouped(files: Sequence[NewFile], most: int) -> list[list[NewFile]]:
    """Groups of short files, long files alone; a group is one fragment and is lost as one."""
    groups: list[list[NewFile]] = []
    room_s = 0.0
    for new in files:
        if not groups or len(groups[-1]) == most or new.info.duration_s > room_s:
            groups.append([])
            room_s = GROUP_S
        groups[-1].append(new)
        room_s -= new.info.duration_s
    return groups


def _group(made: IndexedGroup | Exception) -> IndexedGroup:
    if isinstance(made, ModelError):
        raise ModelError(f"a worker of the cluster cannot load the engine: {made}")
    if isinstance(made, Exception):
        raise LibraryError(f"a worker of the cluster failed: {made}")
    return made


def _reason(message: str) -> str:
    """The cause of a failed job, from Ray's long message."""
    last = next(line for line in reversed(message.splitlines()) if line.strip())
    return (
        f"the job on the Ray cluster failed ({last.strip()[:200]}); check that all machines are up "
        "and have the same version of seehear. Everything committed stays"
    )


def connected(address: str) -> Any:
    """Connect to a Ray cluster and return ray. Raises: UsageError."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)  # read when Ray is first imported
    try:
        import ray
    except ImportError as error:
        raise UsageError(
            f"--ray needs an extra: pip install 'seehear[cluster]' ({error})"
        ) from error
    if not ray.is_initialized():
        try:
            _check_port(address)
            with _quiet():
                ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
        except (OSError, ValueError, RuntimeError) as error:
            raise UsageError(
                f"no Ray cluster answers at '{address}' ({str(error).splitlines()[0]}); start one "
                "with 'ray start --head', or check the address"
            ) from error
    return ray


@contextmanager
def _quiet() -> Generator[None]:
    """Silence stderr, also for native code."""
    saved, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nothing)


def _check_port(address: str) -> None:
    """Fail fast if nothing listens: Ray itself would retry for minutes. Raises: OSError."""
    where = urlsplit(address if "://" in address else f"//{address}")
    if where.port:
        socket.create_connection((where.hostname, where.port), timeout=CONNECT_S).close()
