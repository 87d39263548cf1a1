"""Stage 1: which items are worth scoring on all their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from seehear.engine import Engine
from seehear.errors import UsageError
from seehear.rank import union
from seehear.search.preload import exact_sight_candidates
from seehear.store import Store
from seehear.types import Candidates, EncodedQuery, Filter

CHUNK = 64  # items whose tokens are read together
Stage1 = Literal["union", "seen", "all"]


def candidates_per_list(limit: int) -> int:
    """How many candidates each list of stage 1 passes on."""
    return max(100, 2 * limit)


def stage1_candidates(
    engine: Engine,
    store: Store,
    query: EncodedQuery,
    where: Filter | None,
    k: int,
    stage1: Stage1,
) -> list[Candidates]:
    """The k best items by sight and the k best by sound; a modality of weight 0 has no list.

    Sight is exact where frames are preloaded, else by the nearest summaries. `stage1="seen"` is the
    papers' form, which ignores sound in its first stage.

    Raises: UsageError for a filter by audio-visual correspondence that the engine cannot compute.
    """
    wanted, weight = where.av_correspondence if where else None, float(query.audio_weight[0])
    if wanted is not None and not engine.has_av_correspondence:
        raise UsageError(
            "this library's weights cannot detect whether sound belongs to the picture; with the "
            "engine clip-ast, 'seehear-lab match LIBRARY --install' trains them to"
        )
    count = k if wanted is None else store.counts(where=where)["items"]
    found: list[Candidates] = []
    if weight < 1 or stage1 == "seen":
        best = None
        if stage1 == "union":
            best = exact_sight_candidates(engine, store, query, k=count, where=where)
        found.append(best or store.nearest("seen", query.seen[0], k=count, where=where))
    if weight > 0 and stage1 != "seen":
        found.append(store.nearest("heard", query.heard[0], k=count, where=where))
    if wanted is None:
        return found
    kept = _with_av_correspondence(engine, store, union(each.ids for each in found), wanted)
    return [_among(each, kept, k) for each in found]


def _with_av_correspondence(
    engine: Engine, store: Store, ids: Sequence[str], wanted: bool
) -> set[str]:
    """Items whose sound belongs to the picture, or does not; reads the tokens of all of them."""
    kept: set[str] = set()
    for at in range(0, len(ids), CHUNK):
        chunk = ids[at : at + CHUNK]
        found = engine.av_correspondence(store.tokens(chunk))
        kept.update(each for each, value in zip(chunk, found, strict=True) if value is wanted)
    return kept


def _among(found: Candidates, kept: set[str], k: int) -> Candidates:
    at = [place for place, item_id in enumerate(found.ids) if item_id in kept][:k]
    return Candidates(ids=tuple(found.ids[place] for place in at), scores=found.scores[at])
