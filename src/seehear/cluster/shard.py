"""One shard of a library: it searches its own items."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from seehear.engine import Engine, load_engine
from seehear.rank import union
from seehear.search import Stage1, run
from seehear.search.stage1 import stage1_candidates
from seehear.store import Store, Summaries, backend_for, sync_replica
from seehear.types import Candidates, EncodedQuery, Filter, Item, ModalityScores


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """One shard's results for a query: its stage-1 lists, and stage 2 on their union."""

    fingerprint: str  # of the engine that scored
    counts: Mapping[str, int]  # of its items that pass the filter
    stage1_candidates: Sequence[Candidates]
    ids: Sequence[str]
    parts: ModalityScores


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedState:
    """One state of the library that a shard answers from, with its engine."""

    latest_versions: Mapping[str, int]
    store: Store
    engine: Engine


class Shard:
    """Searches the videos whose hash falls into one part of a library.

    With a `cache` folder it searches a replica there, which is made again if it is lost.
    """

    def __init__(self, root: str | Path, number: int, of: int, cache: str | Path = "") -> None:
        self._root, self._shard, self._cache = root, (number, of), cache
        self._state = self._next = self._opened()

    def root(self) -> str:
        """The library of this shard."""
        return str(self._root)

    def ids(self) -> tuple[str, ...]:
        """Item ids of this shard, sorted."""
        return self._state.store.ids()

    def rows(self, positions: Sequence[int]) -> Summaries:
        """Summaries of items by position."""
        return self._state.store.take(positions)

    def find(
        self, query: EncodedQuery, where: Filter | None, k: int | None, stage1: Stage1
    ) -> Found:
        """Both stages on its own items; without `k` every item is a candidate."""
        state = self._state
        counts = state.store.counts(where=where)
        most = k or counts["items"]
        found = stage1_candidates(state.engine, state.store, query, where, most, stage1)
        ids = union(each.ids for each in found)
        none = np.zeros((1, 0), np.float32)
        parts = run.score(state.engine, state.store, query, ids) if ids else None
        return Found(
            fingerprint=str(state.engine.manifest["fingerprint"]),
            counts=counts,
            stage1_candidates=found,
            ids=ids,
            parts=parts or ModalityScores(seen=none, heard=none),
        )

    def details(self, query: EncodedQuery, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Fields of hits that come from the store."""
        return run.hit_details(self._state.engine, self._state.store, query, ids)

    def item(self, item_id: str) -> Item:
        """One item of this shard."""
        return self._state.store.item(item_id)

    def prepare(self) -> None:
        """Load the current state of the library while the old one keeps answering."""
        if backend_for(self._root).latest_versions() != self._state.latest_versions:
            self._next = self._opened()

    def switch(self) -> None:
        """Answer from the prepared state."""
        self._state = self._next

    def _opened(self) -> LoadedState:
        latest_versions = backend_for(self._root).latest_versions()
        store = Store.open(self._root, shard=self._shard)
        engine = load_engine(store.model)
        if self._cache:
            folder = self._folder(str(store.model["fingerprint"]))
            queries = engine.calibration_queries
            sync_replica(self._root, folder, self._shard, calibration_queries=queries)
            store = Store.open(folder)
        return LoadedState(latest_versions=latest_versions, store=store, engine=engine)

    def _folder(self, fingerprint: str) -> Path:
        """Folder of the replica; replicas that are no longer used are deleted."""
        cache, (number, of) = Path(self._cache), self._shard
        cache.mkdir(parents=True, exist_ok=True)
        mine = f"{sha256(str(self._root).encode()).hexdigest()[:12]}-{number}-{of}-"
        folder = cache / f"{mine}{fingerprint[:12]}"
        state = self.__dict__.get("_state")
        kept = (folder, state and state.store.root)
        for other in cache.glob(f"{mine}*/"):
            if other not in kept:
                shutil.rmtree(other)
        return folder
