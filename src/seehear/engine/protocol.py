"""What every engine offers; whoever implements it inherits nothing."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from seehear.types import Clip, EncodedQuery, Explanation, MediaSpec, Parts, Tokens


@runtime_checkable
class Engine(Protocol):
    """Turns media and queries into arrays and compares them; knows no files and no tables."""

    name: str
    media: MediaSpec
    seen_dim: int
    heard_dim: int

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

    def bank(self) -> EncodedQuery:
        """Fixed queries about everything the engine knows, to calibrate scores on a library."""
        ...

    def score(self, query: EncodedQuery, tokens: Tokens) -> Parts:
        """Stage 2: what sight and what sound contribute to each [query, item] pair."""
        ...

    @property
    def can_match(self) -> bool:
        """Whether `fits` knows anything."""
        ...

    def fits(self, tokens: Tokens) -> list[bool | None]:
        """Whether sound and picture of each item belong together; None where it cannot tell."""
        ...

    def explain(self, query: EncodedQuery, tokens: Tokens) -> Explanation:
        """Why one query (a batch of one) matches one item (a batch of one)."""
        ...
