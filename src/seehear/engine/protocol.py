"""The interface of an engine. Implementations inherit nothing."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from seehear.types import Clip, EncodedQuery, Explanation, MediaSpec, ModalityScores, Tokens


@runtime_checkable
class SightScanner(Protocol):
    """Exact sight scores from frames in memory; immutable."""

    def plus(self, tokens: Tokens) -> SightScanner:
        """A scan with these items added."""
        ...

    def scores(self, text: Float32[np.ndarray, "1 dim"]) -> Float32[np.ndarray, " item"]:
        """The sight score of one text on each item, in the order in which items were added."""
        ...


@runtime_checkable
class Engine(Protocol):
    """Encode media and queries, and score them. Does not access files or tables."""

    name: str
    media: MediaSpec
    seen_dim: int
    heard_dim: int
    hears: bool  # False where sound is not scored: X-Pool
    scores_summaries: bool  # stage 2 needs only the stage-1 vectors, not the stored tokens

    @property
    def manifest(self) -> dict[str, Any]:
        """Manifest stored in a library: engine name, fingerprint, weight hashes, preprocessing.

        Two engines with the same `fingerprint` write the same tokens for the same media.
        """
        ...

    def encode_clip(self, clip: Clip) -> Tokens:
        """Tokens of one item (a batch of one), ready to store."""
        ...

    def summary(self, tokens: Tokens) -> Tokens:
        """The stage-1 vectors: the same items with one token for sight and one for sound."""
        ...

    def encode_text(self, text: str) -> EncodedQuery:
        """A text as a batch of one query."""
        ...

    def encode_example(self, clip: Clip) -> EncodedQuery:
        """A picture, a sound or a clip as a batch of one query, to find similar items."""
        ...

    def calibration_queries(self) -> EncodedQuery:
        """Fixed queries about everything the engine has names for; they calibrate its scores."""
        ...

    def score(self, query: EncodedQuery, tokens: Tokens) -> ModalityScores:
        """Stage 2: the contributions of sight and sound to each [query, item] pair."""
        ...

    def scan(self) -> SightScanner | None:
        """An empty scan; None where summaries give the exact sight score."""
        ...

    @property
    def has_av_correspondence(self) -> bool:
        """Whether the weights can compute `av_correspondence`."""
        ...

    def av_correspondence(self, tokens: Tokens) -> list[bool | None]:
        """Whether sound and picture of each item belong together; None where unknown."""
        ...

    def explain(self, query: EncodedQuery, tokens: Tokens) -> Explanation:
        """Why one query (a batch of one) matches one item (a batch of one)."""
        ...
