"""Shards as Ray Serve deployments; Serve restarts lost replicas."""

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

ANSWER_S = 10.0  # without an answer for so long, a shard is lost


def served(root: str, *, of: int, address: str, cores: float = 1.0, cache: str = "") -> Shards:
    """Start all shards of a library on a cluster, one replica each; returns their coordinator.

    Running shards are reused. `cache` is a folder on each machine for replicas of its shards.
    Raises: LibraryError if a shard cannot start.
    """
    connected(address)
    root = _shared_root(root)
    _start({number: shard(root, number, of, cores, cache) for number in _missing(of)}, of)
    return coordinator(root, of=of, address=address)


@contextmanager
def sharded(root: str, *, of: int, address: str) -> Generator[Library]:
    """A library that is searched in shards; `of=0` means one per machine.

    Shards started here stop with it. Raises: LibraryError if a shard cannot start.
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
    """One shard as a Ray Serve application."""
    from ray import serve

    deployment: Any = serve.deployment(Shard)
    options = deployment.options(ray_actor_options={"num_cpus": cores})
    return options.bind(root, number, of, cache)


def application(args: dict[str, str]) -> Any:
    """`shard` for a Serve config file: `root`, `number`, `of`, optionally `cores`, `cache`."""
    return shard(
        args["root"],
        int(args["number"]),
        int(args["of"]),
        float(args.get("cores", 1)),
        args.get("cache", ""),
    )


def coordinator(root: str, *, of: int, address: str) -> Shards:
    """A coordinator of shards that already run on a cluster.

    Raises: LibraryError if they belong to another library.
    """
    connected(address)
    from ray import serve

    handles = [serve.get_app_handle(name_of(number, of)) for number in range(of)]

    def call(number: int, method: str, *arguments: Any) -> Any:
        answer: Any = getattr(handles[number], method).remote(*arguments)
        return answer.result(timeout_s=None if method == "prepare" else ANSWER_S)

    for number in range(of):
        theirs = call(number, "root")
        if theirs != _shared_root(root):
            raise LibraryError(
                f"the shards {name_of(0, of)} ... of this cluster belong to '{theirs}'; search "
                "that library, stop them, or choose another number of shards"
            )
    return Shards(root, of=of, call=call)


def name_of(number: int, of: int) -> str:
    """Name of a shard's application."""
    return f"seehear-{number}-{of}"


def _missing(of: int) -> list[int]:
    """Numbers of the shards that are not running."""
    from ray import serve

    logging.getLogger("ray.serve").setLevel(logging.CRITICAL)
    there = serve.status().applications
    return [
        number
        for number in range(of)
        if name_of(number, of) not in there or there[name_of(number, of)].status != "RUNNING"
    ]


def _start(shards: dict[int, Any], of: int) -> None:
    """Start shards and wait until they answer; they are called by handles and open no port."""
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


def _shared_root(root: str) -> str:
    """Absolute path, or S3 address unchanged."""
    backend = backend_for(root)
    return str(backend.root) if backend.is_shared else str(Path(root).expanduser().resolve())
