"""Shards as Ray Serve deployments: a replica that is lost is started again by Serve."""

from __future__ import annotations

from typing import Any

from seehear.cluster.shard import Shard
from seehear.cluster.shards import Shards
from seehear.cluster.work import connected

ANSWER_S = 10.0  # then a shard counts as lost


def served(root: str, *, of: int, address: str, cores: float = 1.0, cache: str = "") -> Shards:
    """All shards of a library on a cluster, one replica each, behind a coordinator here.

    `cache` is a folder of each machine in which its shards keep copies of what they hold.
    """
    connected(address)
    from ray import serve

    for number in range(of):
        bound = shard(root=root, number=number, of=of, cores=cores, cache=cache)
        serve.run(bound, name=name_of(number, of), route_prefix=None)
    return coordinator(root, of=of, address=address)


def shard(*, root: str, number: int, of: int, cores: float = 1.0, cache: str = "") -> Any:
    """One shard as an application of Ray Serve."""
    from ray import serve

    deployment: Any = serve.deployment(Shard)
    options = deployment.options(ray_actor_options={"num_cpus": cores})
    return options.bind(root, number, of, cache)


def application(args: dict[str, str]) -> Any:
    """The same for a Serve config file: `root`, `number`, `of`, and perhaps `cores`, `cache`."""
    return shard(
        root=args["root"],
        number=int(args["number"]),
        of=int(args["of"]),
        cores=float(args.get("cores", 1)),
        cache=args.get("cache", ""),
    )


def coordinator(root: str, *, of: int, address: str) -> Shards:
    """A coordinator before shards that run on a cluster already."""
    connected(address)
    from ray import serve

    handles = [serve.get_app_handle(name_of(number, of)) for number in range(of)]

    def call(number: int, method: str, *arguments: Any) -> Any:
        answer: Any = getattr(handles[number], method).remote(*arguments)
        return answer.result(timeout_s=None if method == "prepare" else ANSWER_S)

    return Shards(root, of=of, call=call)


def name_of(number: int, of: int) -> str:
    """Name of the application that serves a shard."""
    return f"seehear-{number}-{of}"
