"""What every engine offers; whoever implements it inherits nothing."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from seehear.types import Clip, EncodedQuery, Explanation, MediaSpec, ModalityScores, Tokens


@runtime_checkable
class Scan(Protocol):
    """Frames of items in memory, each scored exactly; a new one for each addition."""

    def plus(self, tokens: Tokens) -> Scan:
        """With more items."""
        ...

    def scores(self, text: Float32[np.ndarray, "1 dim"]) -> Float32[np.ndarray, " item"]:
        """What one text sees in each item, in the order of their addition."""
        ...


@runtime_checkable
class Engine(Protocol):
    """Turns media and queries into arrays and compares them; knows no files and no tables."""

    name: str
    media: MediaSpec
    seen_dim: int
    heard_dim: int
    hears: bool  # False where sound is not scored: X-Pool
    scores_summaries: bool  # stage 2 needs only the stage-1 vectors, not the stored tokens

    @property
    def manifest(self) -> dict[str, Any]:
        """What a library records: engine, fingerprint, weight hashes, preprocessing constants.

        Two engines with the same `fingerprint` write the same tokens for the same media.
        """
        ...

    def encode_clip(self, clip: Clip) -> Tokens:
        """Tokens of one item (a batch of one), ready to store."""
        ...

    def summary(self, tokens: Tokens) -> Tokens:
        """The same items with one token for sight and one for sound: the stage-1 vectors."""
        ...

    def encode_text(self, text: str) -> EncodedQuery:
        """A sentence as a batch of one query."""
        ...

    def encode_example(self, clip: Clip) -> EncodedQuery:
        """A picture, a sound or a clip as a batch of one query: find what is like it."""
        ...

    def calibration_queries(self) -> EncodedQuery:
        """Fixed queries about everything the engine knows, to calibrate scores on a library."""
        ...

    def score(self, query: EncodedQuery, tokens: Tokens) -> ModalityScores:
        """Stage 2: what sight and what sound contribute to each [query, item] pair."""
        ...

    def scan(self) -> Scan | None:
        """An empty scan; None where summaries are all that the sight score needs."""
        ...

    @property
    def has_av_correspondence(self) -> bool:
        """Whether `av_correspondence` knows anything."""
        ...

    def av_correspondence(self, tokens: Tokens) -> list[bool | None]:
        """Whether sound and picture of each item belong together; None where it cannot tell."""
        ...

    def explain(self, query: EncodedQuery, tokens: Tokens) -> Explanation:
        """Why one query (a batch of one) matches one item (a batch of one)."""
        ...
