"""Confidence thresholds and averages for absent modalities, from the library's own items."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32

from seehear.engine import Engine
from seehear.store import Summaries
from seehear.types import Confidence, EncodedQuery, ModalityScores, Tokens

FAIR, STRONG = 0.995, 0.9985  # quantiles of (any tag name, any item) pairs; see docs/decisions/003


@dataclass(frozen=True, kw_only=True)
class ConfidenceThresholds:
    """Scores from which a hit is called fair or strong in this library."""

    fair: float
    strong: float

    def of(self, score: float) -> Confidence:
        """The confidence of a hit with this score."""
        if score >= self.strong:
            return "strong"
        return "fair" if score >= self.fair else "weak"


def as_tokens(summaries: Summaries) -> Tokens:
    """Summaries as token sequences of length one."""
    nowhere = np.zeros((len(summaries.ids), 1))
    return Tokens(
        frames=summaries.seen[:, None],
        frame_mask=summaries.has_frames[:, None],
        frame_times_s=nowhere,
        audio=summaries.heard[:, None],
        audio_mask=summaries.has_sound[:, None],
        audio_times_s=nowhere,
    )


def fill_absent(scores: ModalityScores, background: ModalityScores) -> ModalityScores:
    """Items without a modality get the background's average for it: silence is never a penalty."""
    return ModalityScores(
        seen=np.where(np.isnan(scores.seen), _average(background.seen), scores.seen),
        heard=np.where(np.isnan(scores.heard), _average(background.heard), scores.heard),
    )


def _average(scores: Float32[np.ndarray, "query item"]) -> Float32[np.ndarray, "query 1"]:
    """Mean over the items where it is present; 0 if nowhere."""
    present = ~np.isnan(scores)
    total = np.where(present, scores, 0).sum(1, keepdims=True, dtype=np.float64)
    return (total / np.maximum(present.sum(1, keepdims=True), 1)).astype(np.float32)


def calibrate(engine: Engine, background: Tokens, query: EncodedQuery) -> ConfidenceThresholds:
    """Thresholds from the scores of pairs that mostly do not match.

    For words: the engine's calibration queries against every sampled item; an item shows only a few
    of all the things that the engine has names for. For an example: the sampled items against each
    other. Both use the query's audio weight, rounded to hundredths.
    """
    others = _examples(background) if query.is_example else engine.calibration_queries()
    weight = np.full(len(others.seen), rounded_weight(query), np.float32)
    split = engine.score(replace(others, audio_weight=weight), background)
    filled = fill_absent(split, split)
    scores = filled.seen + filled.heard
    if query.is_example and len(scores) > 1:
        scores = scores[~np.eye(len(scores), dtype=bool)]
    fair, strong = np.quantile(scores, [FAIR, STRONG])
    return ConfidenceThresholds(fair=float(fair), strong=float(strong))


def rounded_weight(query: EncodedQuery) -> float:
    """The audio weight of a query, rounded to hundredths."""
    return round(float(query.audio_weight[0]), 2)


def _examples(items: Tokens) -> EncodedQuery:
    """Summaries of items as a batch of example queries."""
    return EncodedQuery(
        seen=items.frames[:, 0],
        heard=items.audio[:, 0],
        audio_weight=np.zeros(len(items.frames), np.float32),
        is_example=True,
    )
