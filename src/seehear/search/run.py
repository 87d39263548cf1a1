"""The two stages of a search, and the reasons for each hit."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args
from weakref import WeakKeyDictionary

import numpy as np

from seehear.engine import Engine
from seehear.errors import UsageError
from seehear.rank import best_first, union
from seehear.search.query import encode
from seehear.search.scan import seen_best
from seehear.search.scoring import ConfidenceThresholds, calibrate, fill, sample, weight
from seehear.store import Store, Summaries
from seehear.types import (
    Answer,
    Candidates,
    Clip,
    EncodedQuery,
    Filter,
    Hit,
    ModalityScores,
    Mode,
    Query,
    Tokens,
    Video,
)

CHUNK = 64  # candidates whose tokens are in memory at once
Stage1 = Literal["union", "seen", "all"]
_known: WeakKeyDictionary[Summaries, dict[tuple[Engine, float], ConfidenceThresholds]] = (
    WeakKeyDictionary()
)


def search(
    engine: Engine,
    store: Store,
    query: Query,
    *,
    limit: int = 10,
    where: Filter | None = None,
    stage1: Stage1 = "union",
    clip: Clip | None = None,
) -> Answer:
    """The best moments for a query, best first, each with its reason.

    `clip` is what the file `query.like` holds, if it was read already.

    Stage 1 takes the best items by sight and the best by sound: the nearest summaries, and for
    sight all frames, scored exactly, where `warm` holds them. Stage 2 scores the union on all
    stored tokens. `stage1="seen"` is the papers' form, deaf in its first stage; "all" has no first
    stage and scores every item.

    Source: TEFAL, section 4.4 (two stages); the union is ours: a match that is only heard is lost
    before stage 2 otherwise.
    """
    where = checked(query, limit, where, stage1)
    encoded = encode(engine, store, query, clip=clip)
    counts = store.counts(where=where)
    k = counts["items"] if stage1 == "all" else candidates_per_list(limit)
    ids = union(found.ids for found in lists(engine, store, encoded, where, k, stage1))
    if not ids:
        return finish(engine, query, encoded, (), counts)
    summaries = store.sample()
    background = sample(summaries)
    parts = score(engine, store, encoded, ids)
    if np.isnan(parts.seen).any() or np.isnan(parts.heard).any():
        parts = fill(parts, engine.score(encoded, background))
    thresholds = _thresholds(engine, summaries, background, encoded)
    best = best_first(parts.seen[0] + parts.heard[0], ids, k=limit)
    found = details(engine, store, encoded, [ids[at] for at in best])
    scores = zip(parts.seen[0, best].tolist(), parts.heard[0, best].tolist(), found, strict=True)
    hits = tuple(hit(rank, *each, thresholds) for rank, each in enumerate(scores, start=1))
    return finish(engine, query, encoded, hits, counts)


def candidates_per_list(limit: int) -> int:
    """How many candidates each list of stage 1 passes on."""
    return max(100, 2 * limit)


def details(
    engine: Engine, store: Store, query: EncodedQuery, ids: Sequence[str]
) -> list[dict[str, Any]]:
    """Fields of hits that lie with the items: the file, the stretch, and where it matched."""
    tokens = store.tokens(ids)
    fits = engine.av_correspondence(tokens)
    found: list[dict[str, Any]] = []
    for at, item_id in enumerate(ids):
        item = store.item(item_id)
        found.append(
            {
                "item_id": item.id,
                "start_s": item.start_s,
                "end_s": item.end_s,
                "sound": item.sound,
                "av_correspondence": fits[at],
                **_file(store.video(item.video_id)),
                **_reason(engine, query, one_of(tokens, at)),
            }
        )
    return found


def hit(
    rank: int,
    seen: float,
    heard: float,
    fields: Mapping[str, Any],
    thresholds: ConfidenceThresholds,
) -> Hit:
    """One hit from its scores and details."""
    score = seen + heard
    return Hit(
        rank=rank, score=score, confidence=thresholds.of(score), seen=seen, heard=heard, **fields
    )


def checked(query: Query, limit: int, where: Filter | None, stage1: str) -> Filter | None:
    """The filter with an absolute folder. Raises: UsageError for what cannot be meant."""
    for name, value, known in (
        ("mode", query.mode, get_args(Mode)),
        ("stage1", stage1, get_args(Stage1)),
    ):
        if value not in known:
            raise UsageError(f"{name} {value!r} is not one of {', '.join(known)}")
    if limit < 1:
        raise UsageError(f"a search needs room for at least one hit, not {limit}")
    if where and where.folder:
        return replace(where, folder=os.path.abspath(where.folder))  # noqa: PTH100
    return where


def _file(video: Video) -> dict[str, Any]:
    return {"video_id": video.id, "path": video.path, "aliases": video.aliases}


def _thresholds(
    engine: Engine, summaries: Summaries, background: Tokens, query: EncodedQuery
) -> ConfidenceThresholds:
    """Kept while the library stays as it is: they do not depend on the words of a query."""
    if query.is_example:
        return calibrate(engine, background, query)
    known = _known.setdefault(summaries, {})
    key = (engine, weight(query))
    if key not in known:
        known[key] = calibrate(engine, background, query)
    return known[key]


def one_of(tokens: Tokens, at: int) -> Tokens:
    """One item of a batch, without the padding of the others."""
    frames, sounds = (int(mask[at].sum()) for mask in (tokens.frame_mask, tokens.audio_mask))
    one = slice(at, at + 1)
    return Tokens(
        frames=tokens.frames[one, :frames],
        frame_mask=tokens.frame_mask[one, :frames],
        frame_times_s=tokens.frame_times_s[one, :frames],
        audio=tokens.audio[one, :sounds],
        audio_mask=tokens.audio_mask[one, :sounds],
        audio_times_s=tokens.audio_times_s[one, :sounds],
    )


def _reason(engine: Engine, query: EncodedQuery, tokens: Tokens) -> dict[str, Any]:
    """When inside the item the match was seen and heard, and as what."""
    why = engine.explain(query, tokens)
    return {
        "frame_times_s": _rounded(tokens.frame_times_s[0][tokens.frame_mask[0]]),
        "frame_weights": _rounded(why.frame_weights),
        "sound_times_s": _rounded(tokens.audio_times_s[0][tokens.audio_mask[0]]),
        "sound_weights": _rounded(why.sound_weights),
        "seen_tags": why.seen_tags,
        "heard_tags": why.heard_tags,
    }


def _rounded(values: np.ndarray) -> tuple[float, ...]:
    return tuple(round(float(value), 3) for value in values)


def finish(
    engine: Engine,
    query: Query,
    encoded: EncodedQuery,
    hits: tuple[Hit, ...],
    counts: Mapping[str, int],
) -> Answer:
    """Hits as an answer, with a verdict in words."""
    if not hits:
        verdict = "nothing to search: the library is empty, or no moment passes the filters"
    elif hits[0].confidence == "weak":
        verdict = "nothing here matches well; these are only the nearest moments"
    else:
        verdict = ""
    return Answer(
        query=query,
        engine=engine.name,
        hits=hits,
        items_searched=counts["items"],
        videos_searched=counts["videos"],
        audio_weight=round(float(encoded.audio_weight[0]), 3),
        verdict=verdict,
    )


def lists(
    engine: Engine,
    store: Store,
    query: EncodedQuery,
    where: Filter | None,
    k: int,
    stage1: Stage1,
) -> list[Candidates]:
    """Stage 1: a list by sight and a list by sound; a modality without weight has no list."""
    fits, share = where.av_correspondence if where else None, float(query.audio_weight[0])
    if fits is not None and not engine.has_av_correspondence:
        raise UsageError(
            "the weights of this library do not tell whether sound fits the picture; with the "
            "engine clip-ast 'seehear-lab match LIBRARY --install' teaches them"
        )
    most = k if fits is None else store.counts(where=where)["items"]
    found: list[Candidates] = []
    if share < 1 or stage1 == "seen":
        best = seen_best(engine, store, query, k=most, where=where) if stage1 == "union" else None
        found.append(best or store.nearest("seen", query.seen[0], k=most, where=where))
    if share > 0 and stage1 != "seen":
        found.append(store.nearest("heard", query.heard[0], k=most, where=where))
    if fits is None:
        return found
    kept = fitting(engine, store, union(each.ids for each in found), fits)
    return [_among(each, kept, k) for each in found]


def fitting(engine: Engine, store: Store, ids: Sequence[str], wanted: bool) -> set[str]:
    """Items whose sound fits their picture, or does not; read from the tokens of all of them."""
    kept: set[str] = set()
    for at in range(0, len(ids), CHUNK):
        some = ids[at : at + CHUNK]
        fits = engine.av_correspondence(store.tokens(some))
        kept.update(each for each, fit in zip(some, fits, strict=True) if fit is wanted)
    return kept


def _among(found: Candidates, kept: set[str], k: int) -> Candidates:
    at = [place for place, item_id in enumerate(found.ids) if item_id in kept][:k]
    return Candidates(ids=tuple(found.ids[place] for place in at), scores=found.scores[at])


def score(engine: Engine, store: Store, query: EncodedQuery, ids: Sequence[str]) -> ModalityScores:
    """Stage 2, walking the candidates so that memory is bounded."""
    chunks = [
        engine.score(query, store.tokens(ids[at : at + CHUNK])) for at in range(0, len(ids), CHUNK)
    ]
    return ModalityScores(
        seen=np.concatenate([chunk.seen for chunk in chunks], axis=1),
        heard=np.concatenate([chunk.heard for chunk in chunks], axis=1),
    )
