"""What every retrieval model can do: four verbs, and a learned scale for its loss."""

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
    """Whatever turns queries into CLIP vectors and media into CLIP and AST tokens."""

    def encode_query(self, query: Any, /) -> Float[Tensor, "query *token dim"]: ...

    def encode_items(self, media: Any, /) -> TokenBatch: ...


class Precomputed:
    """The encoder of models that are given vectors and tokens: hands them on as they are."""

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
    """A model of retrieval in four verbs; a paper overrides as few as it can.

    `encoder` makes the tokens; a torch module given here is trained and saved with the model.
    `logit_scale` is the log of the factor of `logits`, at most ln 100.
    """

    def __init__(self, *, encoder: Encoder = PRECOMPUTED) -> None:
        super().__init__()
        self.encoder = encoder
        self.logit_scale = nn.Parameter(torch.tensor(MAX_LOGIT_SCALE))

    def encode_query(self, query: Any) -> Float[Tensor, "query *token dim"]:
        """Queries as vectors (or a few vectors each); takes what the encoder takes."""
        return self.encoder.encode_query(query)

    def encode_items(self, media: Any) -> TokenBatch:
        """Items as the tokens that a store keeps; takes what the encoder takes."""
        return self.encoder.encode_items(media)

    def summary(self, items: TokenBatch) -> Float[Tensor, "item dim"]:
        """The unit vector of stage 1 (0 without frames): by default the mean of the frames."""
        return unit(masked_mean(items.frames, items.frame_mask))

    def score(
        self, query: Float[Tensor, "query dim"], items: TokenBatch
    ) -> Float[Tensor, "query item"]:
        """How well each item answers each query: by default the cosine with its summary."""
        return unit(query) @ self.summary(items).T

    def logits(
        self, query: Float[Tensor, "query *token dim"], items: TokenBatch
    ) -> Float[Tensor, "query item"]:
        """What a loss compares: exp(logit_scale) * score."""
        return self.logit_scale.exp() * self.score(query, items)

    @torch.no_grad()
    def clamp_logit_scale(self) -> None:
        """Keep the factor at 100 or below; to be called after every optimiser step.

        Note: clamping inside `logits` instead would stop the gradient above the limit for good.
        """
        self.logit_scale.clamp_(max=MAX_LOGIT_SCALE)
