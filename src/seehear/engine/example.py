"""Queries by example: a picture, a sound or a clip as a query."""

from __future__ import annotations

import numpy as np

from seehear.types import EncodedQuery, Tokens


def example_query(summary: Tokens) -> EncodedQuery:
    """A query from the stage-1 vectors of one example; both modalities weigh the same."""
    has_frames, has_sound = summary.frame_mask[0, 0], summary.audio_mask[0, 0]
    audio_weight = 0.5 if has_frames and has_sound else float(has_sound)
    return EncodedQuery(
        seen=summary.frames[:, 0],
        heard=summary.audio[:, 0],
        audio_weight=np.array([audio_weight], np.float32),
        is_example=True,
    )
