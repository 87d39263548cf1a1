"""Scores of a query on the items of a library: silence filled in, thresholds calibrated."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32

from seehear.engine import Engine
from seehear.store import Summaries, sampled
from seehear.types import Confidence, EncodedQuery, ModalityScores, Tokens

FAIR, STRONG = 0.995, 0.9985  # quantiles of (any tag name, any item) pairs; see docs/decisions/003


@dataclass(frozen=True, kw_only=True)
class ConfidenceThresholds:
    """Scores from which a hit is called fair or strong in this library."""

    fair: float
    strong: float

    def of(self, score: float) -> Confidence:
        if score >= self.strong:
            return "strong"
        return "fair" if score >= self.fair else "weak"


def sample(summaries: Summaries) -> Tokens:
    """Summaries of up to 500 items, evenly picked, as token sequences of length one."""
    rows = sampled(len(summaries.ids))
    return Tokens(
        frames=summaries.seen[rows][:, None],
        frame_mask=summaries.has_frames[rows][:, None],
        frame_times_s=np.zeros((len(rows), 1)),
        audio=summaries.heard[rows][:, None],
        audio_mask=summaries.has_sound[rows][:, None],
        audio_times_s=np.zeros((len(rows), 1)),
    )


def average(
    parts: ModalityScores,
) -> tuple[Float32[np.ndarray, " query"], Float32[np.ndarray, " query"]]:
    """What sight and what sound contribute on average where they are present; 0 if nowhere."""
    return _mean_present(parts.seen), _mean_present(parts.heard)


def _mean_present(part: Float32[np.ndarray, "query item"]) -> Float32[np.ndarray, " query"]:
    present = ~np.isnan(part)
    total = np.where(present, part, 0).sum(1, dtype=np.float64)
    return (total / np.maximum(present.sum(1), 1)).astype(np.float32)


def fill(parts: ModalityScores, background: ModalityScores) -> ModalityScores:
    """Items without a modality get the library's average for it: silence is never a penalty."""
    seen, heard = average(background)
    return ModalityScores(
        seen=np.where(np.isnan(parts.seen), seen[:, None], parts.seen),
        heard=np.where(np.isnan(parts.heard), heard[:, None], parts.heard),
    )


def calibrate(engine: Engine, background: Tokens, query: EncodedQuery) -> ConfidenceThresholds:
    """ConfidenceThresholds from scores that mean nothing in particular in this library.

    For words: every tag name against every sampled item. An item shows only a few of all the
    things the engine has names for, so nearly all of these pairs do not match. For an example: the
    sampled items against each other. Both are weighed between sight and sound as the query is, to
    the hundredth.
    """
    bank = _examples(background) if query.is_example else engine.calibration_queries()
    share = np.full(len(bank.seen), weight(query), np.float32)
    parts = engine.score(replace(bank, audio_weight=share), background)
    filled = fill(parts, parts)
    scores = filled.seen + filled.heard
    if query.is_example and len(scores) > 1:
        scores = scores[~np.eye(len(scores), dtype=bool)]
    fair, strong = np.quantile(scores, [FAIR, STRONG])
    return ConfidenceThresholds(fair=float(fair), strong=float(strong))


def weight(query: EncodedQuery) -> float:
    """The share of sound in a query, to the hundredth."""
    return round(float(query.audio_weight[0]), 2)


def _examples(items: Tokens) -> EncodedQuery:
    """Summaries of items as a batch of example queries."""
    return EncodedQuery(
        seen=items.frames[:, 0],
        heard=items.audio[:, 0],
        audio_weight=np.zeros(len(items.frames), np.float32),
        is_example=True,
    )
