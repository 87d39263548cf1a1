"""Past one machine: a library in shards that search where their bytes lie, and ingest on Ray."""

from seehear.cluster.shards import Shard, Shards

__all__ = ["Shard", "Shards"]
