"""Shards as Ray Serve deployments: a replica that is lost is started again by Serve."""

from __future__ import annotations

from typing import Any

from seehear.cluster.shards import Shard, Shards
from seehear.cluster.work import connected

ANSWER_S = 60.0


def served(root: str, *, of: int, address: str, cores: float = 1.0) -> Shards:
    """All shards of a library on a cluster, one replica each, behind a coordinator here."""
    connected(address)
    from ray import serve

    deployment: Any = serve.deployment(Shard)
    handles: list[Any] = []
    for number in range(of):
        bound = deployment.options(ray_actor_options={"num_cpus": cores}).bind(root, number, of)
        handles.append(serve.run(bound, name=f"seehear-{number}-{of}", route_prefix=None))

    def call(number: int, method: str, *arguments: Any) -> Any:
        answer = getattr(handles[number], method).remote(*arguments)
        return answer.result(timeout_s=ANSWER_S)

    return Shards(root, of=of, call=call)
