"""A library whose searches run in shards."""

from __future__ import annotations

from seehear.cluster.shards import Shards
from seehear.library import Library
from seehear.search import Stage1
from seehear.store import Store
from seehear.types import Answer, Clip, Filter, Query


class ShardedLibrary(Library):
    """A `Library` that searches in shards; if a shard is down, results are partial and say so."""

    def __init__(self, store: Store, shards: Shards) -> None:
        super().__init__(store)
        self._shards = shards

    def preload_frames(self) -> int:
        """0: shards choose candidates by summaries, all in the same way."""
        return 0

    def refresh(self) -> None:
        """Load changes that other processes have committed, here and in the shards."""
        super().refresh()
        self._shards.refresh()

    def _search(
        self, query: Query, *, limit: int, where: Filter | None, stage1: Stage1, clip: Clip | None
    ) -> Answer:
        return self._shards.search(query, limit=limit, where=where, stage1=stage1, clip=clip)
