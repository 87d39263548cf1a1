"""The local ingest's own work as an operator of Ray Data: paths travel, frames never do.

Rows of a library on S3 are laid down by the workers where they belong, and only their names come
back; those of a library in a folder of this machine come back themselves.
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
from seehear.ingest import Apart, Group, Indexed, NewFile, Work
from seehear.store import Place, Staging, backend_for

TRIES = 4  # of a group on workers that die; then its files come again in the next round
ROUNDS = (16, 1, 1)  # at most so many files in a group
BIRTHS = 20  # workers in a row that die before they can begin, then the job ends
KNOCK_S = 5.0
IN_FLIGHT = 2  # groups per worker, so that none waits for the next
QUIET = {"RAY_BACKEND_LOG_LEVEL": "fatal", "RAY_DEDUP_LOGS_SKIP_REGEX": "(?s).*"}
GROUP_S = 60.0  # of media in a group, unless one file alone is longer


class IndexFiles:
    """Decodes, encodes and lays down; the engine is loaded from the worker's own disk."""

    def __init__(self, manifest: dict[str, Any], staging: Staging | None) -> None:
        self._apart = Apart(manifest)
        self._staging = staging

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Results of a group of files, or the error that none of them is to blame for."""
        try:
            made: Group | Exception = self.index(pickle.loads(row["files"]))
        except SeeHearError as error:
            made = error
        except Exception as error:  # Ray Data would tell it in fifty lines
            made = LibraryError(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")
        return {"number": row["number"], "made": pickle.dumps(made)}

    def index(self, files: Sequence[NewFile]) -> Group:
        """Results; with a place to lay them down, items are not among them."""
        results = tuple(self._apart.index(new) for new in files)
        if self._staging is None:
            return Group(results=results)
        begun = time.perf_counter()
        good = [(result.video, result.items) for result in results if result.video]
        return Group(
            results=tuple(replace(result, items=()) for result in results),
            staged=self._staging.lay(good, self._place),
            spent_s={"write": time.perf_counter() - begun},
        )

    @cached_property
    def _place(self) -> Place:
        assert self._staging is not None
        place = backend_for(self._staging.root)
        place.refuse_strange()
        return place


def on_ray(address: str) -> Work:
    """Work for `Library.add` that runs on every free core of a cluster.

    Raises: UsageError, once there is work, without Ray or if no cluster is there.
    """

    def index_all(
        engine: Engine,
        files: Sequence[NewFile],
        *,
        workers: int,
        staging: Staging | None = None,
    ) -> Generator[Group]:
        left = list(files)
        for most in ROUNDS:
            if left:
                left = yield from _round(connected(address), left, most, (engine, staging))
        for new in left:
            reason = f"workers died on {new.file.path!r} again and again; it is left out"
            yield Group(results=(Indexed(new=new, error=reason),))

    return index_all


def _round(
    ray: Any, files: Sequence[NewFile], most: int, operator: tuple[Engine, Staging | None]
) -> Generator[Group, None, list[NewFile]]:
    """Every group that comes through; returns the files of those that workers died on."""
    waiting: dict[int, list[NewFile]] = {}
    try:
        cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
        free = max(1, int(ray.available_resources().get("CPU", 1)))  # others keep theirs
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
    """The pipeline: one block a group, one operator, first so many actors, then what cores allow.

    Note: a block whose actor died TRIES times is left out.
    """
    from ray.data import ActorPoolStrategy, from_items

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    blocks = [{"number": at, "files": pickle.dumps(files)} for at, files in groups.items()]
    data: Any = from_items(blocks, override_num_blocks=len(blocks))
    data.context.enable_progress_bars = False
    data.context.max_errored_blocks = -1
    data.context.max_consecutive_actor_init_deaths = BIRTHS
    pool = ActorPoolStrategy(
        min_size=1,
        max_size=len(blocks),
        initial_size=min(workers, len(blocks)),
        max_tasks_in_flight_per_actor=IN_FLIGHT,
    )
    with warnings.catch_warnings(action="ignore"):  # Ray 2.64 will name the last two otherwise
        return data.map(
            IndexFiles,
            fn_constructor_args=(engine.manifest, staging),
            compute=pool,
            num_cpus=1,
            max_restarts=-1,
            max_task_retries=TRIES - 1,
        )


def _grouped(files: Sequence[NewFile], most: int) -> list[list[NewFile]]:
    """Short files in company, long ones alone: what goes into one fragment and is lost as one."""
    groups: list[list[NewFile]] = []
    room_s = 0.0
    for new in files:
        if not groups or len(groups[-1]) == most or new.info.duration_s > room_s:
            groups.append([])
            room_s = GROUP_S
        groups[-1].append(new)
        room_s -= new.info.duration_s
    return groups


def _group(made: Group | Exception) -> Group:
    if isinstance(made, ModelError):
        raise ModelError(f"a worker of the cluster cannot load the engine: {made}")
    if isinstance(made, Exception):
        raise LibraryError(f"a worker of the cluster cannot go on: {made}")
    return made


def _reason(said: str) -> str:
    """What ended a job, out of the many lines that Ray says."""
    last = next(line for line in reversed(said.splitlines()) if line.strip())
    return (
        f"the Ray cluster gave the work up ({last.strip()[:200]}); are all of its machines there, "
        "and is the same seehear on each? What was committed stays"
    )


def connected(address: str) -> Any:
    """Ray, connected to a cluster. Raises: UsageError in one sentence."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)  # read when Ray is first imported
    try:
        import ray
    except ImportError as error:
        raise UsageError(f"--ray needs more: pip install 'seehear[cluster]' ({error})") from error
    if not ray.is_initialized():
        try:
            _knock(address)
            with _quiet():
                ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
        except (OSError, ValueError, RuntimeError) as error:
            raise UsageError(
                f"no Ray cluster answers at '{address}' ({str(error).splitlines()[0]}); start one "
                "with 'ray start --head', or correct the address"
            ) from error
    return ray


@contextmanager
def _quiet() -> Generator[None]:
    """Nothing is said on stderr, not even by what is not Python."""
    held, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(held, 2)
        os.close(held)
        os.close(nothing)


def _knock(address: str) -> None:
    """Raises: OSError soon if nobody is there: Ray itself would try for minutes, and chat."""
    where = urlsplit(address if "://" in address else f"//{address}")
    if where.port:
        socket.create_connection((where.hostname, where.port), timeout=KNOCK_S).close()
