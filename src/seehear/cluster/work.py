"""The local ingest's own work on a Ray cluster: paths travel to the workers, tokens come back."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from seehear.engine import Engine, load_engine
from seehear.errors import ModelError, UsageError
from seehear.ingest import Indexed, NewFile, Work, index_file

TRIES = 3  # on workers that die; then the file is what kills them
IN_FLIGHT = 2  # files per worker, so that none waits for the next


class Worker:
    """An actor that decodes and encodes; it loads the engine itself, from its own disk."""

    def __init__(self, manifest: dict[str, Any]) -> None:
        self._manifest = manifest

    @cached_property
    def _engine(self) -> Engine:
        return load_engine(self._manifest)

    def index(self, new: NewFile) -> Indexed:
        return index_file(self._engine, new)


def on_ray(address: str) -> Work:
    """Work for `Library.add` that runs on every free core of a cluster.

    Raises: UsageError without Ray, or if no cluster is there.
    """
    ray = connected(address)

    def index_all(engine: Engine, files: Sequence[NewFile], *, workers: int) -> Iterator[Indexed]:
        cores = int(ray.available_resources().get("CPU", 1))  # others keep theirs
        actor = ray.remote(num_cpus=1, scheduling_strategy="SPREAD")(Worker)
        pool = _Pool(ray, lambda: actor.remote(engine.manifest), files)
        return pool.run(max(1, min(cores, len(files))))

    return index_all


def connected(address: str) -> Any:
    """Ray, connected to a cluster. Raises: UsageError in one sentence."""
    try:
        import ray
    except ImportError as error:
        raise UsageError(f"--ray needs more: pip install 'seehear[cluster]' ({error})") from error
    if not ray.is_initialized():
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UsageError(
                f"no Ray cluster answers at '{address}' ({str(error).splitlines()[0]}); start one "
                "with 'ray start --head', or correct the address"
            ) from error
    return ray


class _Pool:
    """Actors and what each is busy with; the files of a dead one go to the others.

    A replacement is started only when no actor is left: a lost machine takes its cores along, and
    an actor that waits for a core would hold its files back.
    """

    def __init__(self, ray: Any, start: Any, files: Sequence[NewFile]) -> None:
        self._ray, self._start = ray, start
        self._waiting = list(reversed(files))
        self._tries: Counter[str] = Counter()
        self._running: dict[Any, tuple[Any, NewFile]] = {}
        self._actors: list[Any] = []

    def run(self, workers: int) -> Iterator[Indexed]:
        self._actors = [self._start() for _ in range(workers)]
        try:
            self._feed()
            while self._running:
                (ready, *_), _ = self._ray.wait(list(self._running), num_returns=1)
                yield from self._take(ready)
        finally:
            for actor in self._actors:
                self._ray.kill(actor)

    def _take(self, ready: Any) -> Iterator[Indexed]:
        actor, new = self._running.pop(ready)
        try:
            result = self._ray.get(ready)
        except self._ray.exceptions.RayActorError:
            yield from self._again(actor, new)
            return
        except ModelError as error:
            cause = getattr(error, "cause", error)
            raise ModelError(f"a worker of the cluster cannot load the engine: {cause}") from error
        self._feed()
        yield result

    def _again(self, dead: Any, new: NewFile) -> Iterator[Indexed]:
        """Only the file a worker was at is suspected; what waited behind it goes back unblamed."""
        behind = [ref for ref, (actor, _) in self._running.items() if actor is dead]
        self._waiting += [self._running.pop(ref)[1] for ref in behind]
        self._tries[new.sha256] += 1
        if self._tries[new.sha256] < TRIES:
            self._waiting.append(new)
        else:
            reason = f"{new.file.path!r} made {TRIES} workers crash; it is left out"
            yield Indexed(new=new, error=reason)
        self._actors = [actor for actor in self._actors if actor is not dead] or [self._start()]
        self._feed()

    def _feed(self) -> None:
        """Files for every actor that has room, one each in turn."""
        for load in range(IN_FLIGHT):
            for actor in self._actors:
                held = sum(each is actor for each, _ in self._running.values())
                if self._waiting and held <= load:
                    new = self._waiting.pop()
                    self._running[actor.index.remote(new)] = (actor, new)
