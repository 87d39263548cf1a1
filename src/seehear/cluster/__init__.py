"""Past one machine: a library in shards that search where their bytes lie, and ingest on Ray."""

from seehear.cluster.serve import served
from seehear.cluster.shards import Shard, Shards
from seehear.cluster.work import on_ray

__all__ = ["Shard", "Shards", "on_ray", "served"]
