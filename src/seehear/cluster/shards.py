"""Coordinator of a sharded library: asks all shards, merges, calibrates.

Shards are called through `Call`, so the coordinator works with objects of this process and with
remote replicas.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from seehear.cluster.shard import Found, Shard
from seehear.engine import Engine, load_engine
from seehear.errors import LibraryError, UsageError, counted
from seehear.rank import best_first, union
from seehear.search import Stage1, encode, run
from seehear.search.calibration import as_tokens, calibrate, fill_absent
from seehear.search.stage1 import candidates_per_list
from seehear.store import Store, Summaries, sample_positions, shard_of
from seehear.types import Answer, Clip, EncodedQuery, Filter, Item, ModalityScores, Query, Tokens

Call = Callable[..., Any]  # call(number, method, *arguments): what a shard answers, or an error
RETRY_S = 1.0  # a lost shard is retried after so long, ...
BACKOFF = 3.0  # ... or after so many times its last waiting time


class Shards:
    """Searches all shards as one library; if a shard is down, results are partial and say so."""

    def __init__(self, root: str | Path, *, of: int, call: Call) -> None:
        self._root = root
        self._engine = self._loaded()
        self._of = of
        self._call = call
        self._pool = ThreadPoolExecutor(of)
        self._sizes: dict[int, int] = {}  # items by shard, when last known
        self._lost: dict[int, float] = {}  # when it may be retried
        self._background = self._sampled(needs_all=True)

    @classmethod
    def here(cls, root: str | Path, *, of: int, cache: str | Path = "") -> Shards:
        """All shards in this process."""
        shards = [Shard(root, number, of, cache) for number in range(of)]

        def call(number: int, method: str, *arguments: Any) -> Any:
            return getattr(shards[number], method)(*arguments)

        return cls(root, of=of, call=call)

    def search(
        self,
        query: Query,
        *,
        limit: int = 10,
        where: Filter | None = None,
        stage1: Stage1 = "union",
        clip: Clip | None = None,
    ) -> Answer:
        """As `Library.search`, with equal results; `items_searched` counts the reachable items.

        Raises: LibraryError when no shard answers.
        """
        where = run.validate(query, limit, where, stage1)
        engine = self._engine
        encoded = encode(engine, self, query, clip=clip)
        k = None if stage1 == "all" else candidates_per_list(limit)
        asked = dict.fromkeys(range(self._of), (encoded, where, k, stage1))
        answers = self._found(asked)
        counts = {
            name: sum(found.counts[name] for found in answers.values())
            for name in ("videos", "items")
        }
        ids, parts = _merged(list(answers.values()), k)
        hits = self._hits(encoded, ids, parts, limit) if ids else ()
        return self._labelled(run.make_answer(engine, query, encoded, hits, counts), answers)

    def _found(self, asked: Mapping[int, tuple[Any, ...]]) -> dict[int, Found]:
        """Results of the shards that use this coordinator's engine; engines are never mixed."""
        answers: dict[int, Found] = self._all("find", asked)
        own = self._engine.manifest["fingerprint"]
        alike = {number: found for number, found in answers.items() if found.fingerprint == own}
        if not alike:
            raise LibraryError("the shards use another engine now; call refresh()")
        return alike

    def item(self, item_id: str) -> Item:
        """One item, from its shard."""
        return self._call(self._owner(item_id), "item", item_id)

    def _owner(self, item_id: str) -> int:
        return shard_of(item_id.rsplit("-", 1)[0], self._of)

    def refresh(self) -> None:
        """Load changes that other processes have committed, a new engine included.

        Each shard loads the new state in turn while it keeps answering; then all switch. A lost
        shard loads it when it returns.
        """
        for number in range(self._of):
            self._all("prepare", {number: ()}, needs_any=False)
        engine = self._loaded()
        self._all("switch", dict.fromkeys(range(self._of), ()))
        self._engine = engine
        self._background = self._sampled()

    def _loaded(self) -> Engine:
        with Store.open(self._root) as whole:
            return load_engine(whole.model)

    def _hits(self, query: EncodedQuery, ids: list[str], parts: ModalityScores, limit: int):
        filled = fill_absent(parts, self._engine.score(query, self._background))
        thresholds = calibrate(self._engine, self._background, query)
        best = best_first(filled.seen[0] + filled.heard[0], ids, k=limit)
        owners = {ids[at]: self._owner(ids[at]) for at in best.tolist()}
        asked = {
            number: (query, [item_id for item_id in owners if owners[item_id] == number])
            for number in set(owners.values())
        }
        details = self._all("details", asked)
        fields = {each["item_id"]: each for answer in details.values() for each in answer}
        kept = [at for at in best.tolist() if ids[at] in fields]  # a shard may be lost in between
        return tuple(
            run.make_hit(
                rank,
                float(filled.seen[0, at]),
                float(filled.heard[0, at]),
                fields[ids[at]],
                thresholds,
            )
            for rank, at in enumerate(kept, start=1)
        )

    def _labelled(self, answer: Answer, answers: Mapping[int, Found]) -> Answer:
        """The answer, marked as partial if a shard is missing."""
        if len(answers) == self._of:
            return answer
        share = sum(self._sizes[n] for n in answers) / max(1, sum(self._sizes.values()))
        label = (
            f"only {share:.0%} of the library was searched: {self._of - len(answers)} of "
            f"{counted(self._of, 'shard')} did not answer"
        )
        return replace(answer, verdict="; ".join(filter(None, [label, answer.verdict])))

    def _sampled(self, *, needs_all: bool = False) -> Tokens:
        """The sample that calibrates scores, equal to that of an unsharded library."""
        every = dict.fromkeys(range(self._of), ())
        found: dict[int, tuple[str, ...]] = self._all("ids", every, needs_all=needs_all)
        self._sizes |= {number: len(ids) for number, ids in found.items()}
        order = sorted(
            (item_id, n, at) for n, ids in found.items() for at, item_id in enumerate(ids)
        )
        chosen = [order[place] for place in sample_positions(len(order))]
        asked = {n: ([at for _, m, at in chosen if m == n],) for n in found}
        rows: list[Summaries] = list(self._all("rows", asked, needs_all=needs_all).values())
        ids = [item_id for each in rows for item_id in each.ids]
        by_id = np.argsort(np.array(ids, str))
        return as_tokens(
            Summaries(
                ids=tuple(ids[at] for at in by_id),
                seen=np.concatenate([each.seen for each in rows])[by_id],
                heard=np.concatenate([each.heard for each in rows])[by_id],
                has_frames=np.concatenate([each.has_frames for each in rows])[by_id],
                has_sound=np.concatenate([each.has_sound for each in rows])[by_id],
            )
        )

    def _all(
        self,
        method: str,
        asked: Mapping[int, tuple[Any, ...]],
        *,
        needs_all: bool = False,
        needs_any: bool = True,
    ) -> dict[int, Any]:
        """Answers of the shards that are up. Raises: LibraryError if none is."""
        now = time.monotonic()
        due = [n for n in asked if needs_all or now >= self._lost.get(n, now)]
        calls = {n: self._pool.submit(self._call_shard, n, method, *asked[n]) for n in due}
        answers: dict[int, Any] = {}
        reason = "they failed a moment ago"
        for number, future in calls.items():
            try:
                answers[number] = future.result()
            except UsageError:
                raise
            except Exception as error:  # a replica can fail in many ways; the others answer
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if (needs_any and not answers) or (needs_all and len(answers) < len(asked)):
            down, of = self._of - len(answers), counted(self._of, "shard")
            raise LibraryError(f"{down} of {of} did not answer: {reason}")
        return answers

    def _call_shard(self, number: int, method: str, *arguments: Any) -> Any:
        """The answer of one shard; a failure sets the time of its next retry."""
        asked = time.monotonic()
        try:
            answer = self._call(number, method, *arguments)
        except UsageError:
            raise
        except Exception:
            failed = time.monotonic()
            self._lost[number] = failed + max(RETRY_S, BACKOFF * (failed - asked))
            raise
        self._lost.pop(number, None)
        return answer


def _merged(answers: Sequence[Found], k: int | None) -> tuple[list[str], ModalityScores]:
    """The candidates that an unsharded stage 1 would pass on, with their scores."""
    joined: list[list[str]] = []
    for lists in zip(*(found.stage1_candidates for found in answers), strict=True):
        ids = [item_id for each in lists for item_id in each.ids]
        scores = np.concatenate([each.scores for each in lists])
        joined.append([ids[at] for at in np.lexsort((np.array(ids, str), -scores))[:k]])
    places = {item_id: (found, at) for found in answers for at, item_id in enumerate(found.ids)}
    ids = union(joined)
    seen = [places[item_id][0].parts.seen[0, places[item_id][1]] for item_id in ids]
    heard = [places[item_id][0].parts.heard[0, places[item_id][1]] for item_id in ids]
    return ids, ModalityScores(
        seen=np.array([seen], np.float32), heard=np.array([heard], np.float32)
    )
