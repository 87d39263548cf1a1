"""A search in two stages, and the reasons for each hit."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args
from weakref import WeakKeyDictionary

import numpy as np

from seehear.engine import Engine
from seehear.errors import UsageError
from seehear.rank import best_first, union
from seehear.search.calibration import (
    ConfidenceThresholds,
    as_tokens,
    calibrate,
    fill_absent,
    rounded_weight,
)
from seehear.search.query import encode
from seehear.search.stage1 import CHUNK, Stage1, candidates_per_list, stage1_candidates
from seehear.store import Store, Summaries
from seehear.types import (
    Answer,
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

_thresholds_of: WeakKeyDictionary[Summaries, dict[tuple[Engine, float], ConfidenceThresholds]] = (
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
    """The best items for a query, best first, each with its reasons.

    `clip` is the decoded file `query.like`, if the caller has it already.

    Stage 1 takes the union of the best items by sight and by sound; stage 2 scores it on all stored
    tokens. `stage1="seen"` is the papers' first stage, by sight alone; "all" scores every item.

    Source: TEFAL, section 4.4 (two stages).
    Differs: the union is ours: a match that is only heard would be lost before stage 2.
    """
    where = validate(query, limit, where, stage1)
    encoded = encode(engine, store, query, clip=clip)
    counts = store.counts(where=where)
    k = counts["items"] if stage1 == "all" else candidates_per_list(limit)
    candidates = stage1_candidates(engine, store, encoded, where, k, stage1)
    ids = union(each.ids for each in candidates)
    if not ids:
        return make_answer(engine, query, encoded, (), counts)
    summaries = store.sample()
    background = as_tokens(summaries)
    split = score(engine, store, encoded, ids)
    if np.isnan(split.seen).any() or np.isnan(split.heard).any():
        split = fill_absent(split, engine.score(encoded, background))
    thresholds = _thresholds(engine, summaries, background, encoded)
    best = best_first(split.seen[0] + split.heard[0], ids, k=limit)
    details = hit_details(engine, store, encoded, [ids[at] for at in best])
    scores = zip(split.seen[0, best].tolist(), split.heard[0, best].tolist(), details, strict=True)
    hits = tuple(make_hit(rank, *each, thresholds) for rank, each in enumerate(scores, start=1))
    return make_answer(engine, query, encoded, hits, counts)


def hit_details(
    engine: Engine, store: Store, query: EncodedQuery, ids: Sequence[str]
) -> list[dict[str, Any]]:
    """Fields of hits that come from the store: file, stretch, and where each matched."""
    tokens = store.tokens(ids)
    corresponds = engine.av_correspondence(tokens)
    found: list[dict[str, Any]] = []
    for at, item_id in enumerate(ids):
        item = store.item(item_id)
        found.append(
            {
                "item_id": item.id,
                "start_s": item.start_s,
                "end_s": item.end_s,
                "sound": item.sound,
                "av_correspondence": corresponds[at],
                **_file(store.video(item.video_id)),
                **_reason(engine, query, one_of(tokens, at)),
            }
        )
    return found


def make_hit(
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


def validate(query: Query, limit: int, where: Filter | None, stage1: str) -> Filter | None:
    """The filter with an absolute folder. Raises: UsageError for values out of range."""
    for name, value, known in (
        ("mode", query.mode, get_args(Mode)),
        ("stage1", stage1, get_args(Stage1)),
    ):
        if value not in known:
            raise UsageError(f"{name} {value!r} is not one of {', '.join(known)}")
    if limit < 1:
        raise UsageError(f"limit must be 1 or more, got {limit}")
    if where and where.folder:
        return replace(where, folder=os.path.abspath(where.folder))  # noqa: PTH100
    return where


def _file(video: Video) -> dict[str, Any]:
    return {"video_id": video.id, "path": video.path, "aliases": video.aliases}


def _thresholds(
    engine: Engine, summaries: Summaries, background: Tokens, query: EncodedQuery
) -> ConfidenceThresholds:
    """Cached per snapshot of the library: they do not depend on the words of a query."""
    if query.is_example:
        return calibrate(engine, background, query)
    known = _thresholds_of.setdefault(summaries, {})
    key = (engine, rounded_weight(query))
    if key not in known:
        known[key] = calibrate(engine, background, query)
    return known[key]


def one_of(tokens: Tokens, at: int) -> Tokens:
    """One item of a batch, without padding."""
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
    """Times, weights and tags that explain a hit."""
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


def make_answer(
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


def score(engine: Engine, store: Store, query: EncodedQuery, ids: Sequence[str]) -> ModalityScores:
    """Stage 2; stored tokens are read only where the engine needs them, CHUNK items at a time."""
    if engine.scores_summaries:
        return engine.score(query, as_tokens(store.summaries_of(ids)))
    chunks = [
        engine.score(query, store.tokens(ids[at : at + CHUNK])) for at in range(0, len(ids), CHUNK)
    ]
    return ModalityScores(
        seen=np.concatenate([chunk.seen for chunk in chunks], axis=1),
        heard=np.concatenate([chunk.heard for chunk in chunks], axis=1),
    )
