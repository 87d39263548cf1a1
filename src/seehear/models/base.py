"""Base class of the retrieval models: four methods and a learned scale of the logits."""

from __future__ import annotations

import math
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seehear.nn.pooling import masked_mean, unit
from seehear.nn.tokens import TokenBatch

MAX_LOGIT_SCALE = math.log(100)


@runtime_checkable
class Encoder(Protocol):
    """Interface of an encoder: queries -> query vectors, media -> frame and sound tokens."""

    def encode_query(self, query: Any, /) -> Float[Tensor, "query *token dim"]: ...

    def encode_items(self, media: Any, /) -> TokenBatch: ...


class Precomputed:
    """Encoder for inputs that are vectors and tokens already; returns them unchanged."""

    def encode_query(
        self, query: Float[Tensor, "query *token dim"]
    ) -> Float[Tensor, "query *token dim"]:
        """The query vectors themselves."""
        return query

    def encode_items(self, media: TokenBatch) -> TokenBatch:
        """The tokens themselves."""
        return media


PRECOMPUTED = Precomputed()


class RetrievalModel(nn.Module):
    """A retrieval model: `encode_query`, `encode_items`, `summary` and `score`.

    A paper overrides as few of them as it can. `encoder` makes the tokens; if it is a torch module,
    it is trained and saved with the model. `logit_scale` is the log of the factor in `logits`, at
    most ln 100.
    """

    def __init__(self, *, encoder: Encoder = PRECOMPUTED) -> None:
        super().__init__()
        self.encoder = encoder
        self.logit_scale = nn.Parameter(torch.tensor(MAX_LOGIT_SCALE))

    def encode_query(self, query: Any) -> Float[Tensor, "query *token dim"]:
        """Encode queries as one vector (or a few) each; accepts what the encoder accepts."""
        return self.encoder.encode_query(query)

    def encode_items(self, media: Any) -> TokenBatch:
        """Encode items as the tokens that a store keeps; accepts what the encoder accepts."""
        return self.encoder.encode_items(media)

    def summary(self, items: TokenBatch) -> Float[Tensor, "item dim"]:
        """Stage-1 vector of unit length (0 without frames); by default the mean of the frames."""
        return unit(masked_mean(items.frames, items.frame_mask))

    def score(
        self, query: Float[Tensor, "query dim"], items: TokenBatch
    ) -> Float[Tensor, "query item"]:
        """Similarity of each query and item; by default the cosine with the summary."""
        return unit(query) @ self.summary(items).T

    def logits(
        self, query: Float[Tensor, "query *token dim"], items: TokenBatch
    ) -> Float[Tensor, "query item"]:
        """Input of the losses: exp(logit_scale) * score."""
        return self.logit_scale.exp() * self.score(query, items)

    @torch.no_grad()
    def clamp_logit_scale(self) -> None:
        """Limit the factor of the logits to 100; call this after every optimiser step.

        Note: clamping inside `logits` would have no gradient above the limit.
        """
        self.logit_scale.clamp_(max=MAX_LOGIT_SCALE)
