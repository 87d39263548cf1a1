"""Shards as Ray Serve deployments: a replica that is lost is started again by Serve."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seehear.cluster.library import ShardedLibrary
from seehear.cluster.shard import Shard
from seehear.cluster.shards import Shards
from seehear.cluster.work import connected
from seehear.errors import LibraryError
from seehear.library import Library
from seehear.store import Store, backend_for

ANSWER_S = 10.0  # then a shard counts as lost


def served(root: str, *, of: int, address: str, cores: float = 1.0, cache: str = "") -> Shards:
    """All shards of a library on a cluster, one replica each, behind a coordinator here.

    Those that run already are taken as they are. `cache` is a folder of each machine in which its
    shards keep copies of what they hold. Raises: LibraryError if a shard cannot start.
    """
    connected(address)
    root = _everywhere(root)
    _start({number: shard(root, number, of, cores, cache) for number in _missing(of)}, of)
    return coordinator(root, of=of, address=address)


@contextmanager
def sharded(root: str, *, of: int, address: str) -> Generator[Library]:
    """A library that is searched in shards, without a number one on each machine.

    Those that did not run before end with it. Raises: LibraryError if a shard cannot start.
    """
    ray = connected(address)
    from ray import serve

    of = of or sum(node["Alive"] for node in ray.nodes())
    missing = _missing(of)
    try:
        shards = served(root, of=of, address=address)
        with ShardedLibrary(Store.open(root), shards) as library:
            yield library
    finally:
        for number in missing:
            serve.delete(name_of(number, of), _blocking=False)


def shard(root: str, number: int, of: int, cores: float = 1.0, cache: str = "") -> Any:
    """One shard as an application of Ray Serve."""
    from ray import serve

    deployment: Any = serve.deployment(Shard)
    options = deployment.options(ray_actor_options={"num_cpus": cores})
    return options.bind(root, number, of, cache)


def application(args: dict[str, str]) -> Any:
    """The same for a Serve config file: `root`, `number`, `of`, and perhaps `cores`, `cache`."""
    return shard(
        args["root"],
        int(args["number"]),
        int(args["of"]),
        float(args.get("cores", 1)),
        args.get("cache", ""),
    )


def coordinator(root: str, *, of: int, address: str) -> Shards:
    """A coordinator before shards that run on a cluster already.

    Raises: LibraryError if they are those of another library.
    """
    connected(address)
    from ray import serve

    handles = [serve.get_app_handle(name_of(number, of)) for number in range(of)]

    def call(number: int, method: str, *arguments: Any) -> Any:
        answer: Any = getattr(handles[number], method).remote(*arguments)
        return answer.result(timeout_s=None if method == "prepare" else ANSWER_S)

    for number in range(of):
        theirs = call(number, "root")
        if theirs != _everywhere(root):
            raise LibraryError(
                f"the shards {name_of(0, of)} ... of this cluster are those of '{theirs}'; search "
                "that library, stop them, or ask for another number of shards"
            )
    return Shards(root, of=of, call=call)


def name_of(number: int, of: int) -> str:
    """Name of the application that serves a shard."""
    return f"seehear-{number}-{of}"


def _missing(of: int) -> list[int]:
    """Shards that do not run."""
    from ray import serve

    logging.getLogger("ray.serve").setLevel(logging.CRITICAL)
    there = serve.status().applications
    return [
        number
        for number in range(of)
        if name_of(number, of) not in there or there[name_of(number, of)].status != "RUNNING"
    ]


def _start(shards: dict[int, Any], of: int) -> None:
    """Returns once they answer; they open no port, for they are called by handles."""
    from ray import serve

    if not shards:
        return
    serve.start(proxy_location="Disabled")
    targets = [
        serve.RunTarget(target=shards[number], name=name_of(number, of), route_prefix=None)
        for number in shards
    ]
    try:
        serve.run_many(targets)
    except RuntimeError as error:
        raise LibraryError(f"a shard cannot start: {str(error).splitlines()[0]}") from error


def _everywhere(root: str) -> str:
    """A place by a name that means the same wherever this process or another one stands."""
    place = backend_for(root)
    return str(place.root) if place.is_shared else str(Path(root).expanduser().resolve())
