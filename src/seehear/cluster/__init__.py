"""More than one machine: sharded search on Ray Serve, indexing on Ray Data."""

from seehear.cluster.library import ShardedLibrary
from seehear.cluster.serve import coordinator, served, sharded
from seehear.cluster.shard import Shard
from seehear.cluster.shards import Shards
from seehear.cluster.work import on_ray

__all__ = ["Shard", "ShardedLibrary", "Shards", "coordinator", "on_ray", "served", "sharded"]
