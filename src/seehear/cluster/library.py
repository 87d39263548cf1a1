"""A library that is searched in shards elsewhere and read here."""

from __future__ import annotations

from seehear.cluster.shards import Shards
from seehear.library import Library
from seehear.search import Stage1
from seehear.store import Store
from seehear.types import Answer, Clip, Filter, Query


class ShardedLibrary(Library):
    """As `Library` to all who use it; what a lost shard costs is told in the answer."""

    def __init__(self, store: Store, shards: Shards) -> None:
        super().__init__(store)
        self._shards = shards

    def preload_frames(self) -> int:
        """Nothing is held here: shards choose candidates by summaries, all in the same way."""
        return 0

    def refresh(self) -> None:
        """Look at what another process added, here and in the shards."""
        super().refresh()
        self._shards.refresh()

    def _search(
        self, query: Query, *, limit: int, where: Filter | None, stage1: Stage1, clip: Clip | None
    ) -> Answer:
        return self._shards.search(query, limit=limit, where=where, stage1=stage1, clip=clip)
