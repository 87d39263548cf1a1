"""Contrastive losses: cross entropy of each query over the batch, and of each item."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def symmetric_infonce(
    logits: Float[Tensor, "batch batch"], *, reduction: Literal["sum", "mean"] = "sum"
) -> Float[Tensor, ""]:
    """Symmetric InfoNCE: L_t2v + L_v2t, each a mean over the batch; "mean" halves the sum.

    L_t2v = -1/B sum_i log softmax_j(logits[i, j])[i];  L_v2t the same on the transpose.

    Source: TEFAL, section 3.3 ("sum"); X-Pool, CLIP4Clip and their descendants ("mean").
    Note: two captions of one item in the same batch count as negatives.
    """
    total = _cross_entropy(logits) + _cross_entropy(logits.T)
    return total if reduction == "sum" else total / 2


def camoe_dsl(
    logits: Float[Tensor, "batch batch"], *, temperature: float = 1000.0
) -> Float[Tensor, ""]:
    """Dual softmax loss: InfoNCE on logits weighted by their softmax in the other direction.

    S'[i, j] = S[i, j] * B * softmax_i(S[i, j] / temperature);  L = (L_t2v(S') + L_t2v(S^T')) / 2.

    Source: CAMoE (Cheng et al., 2021) and its public code.
    Note: at temperature 1000 and logits up to 100 the weights are between 0.9 and 1.1.
    """
    return (
        _cross_entropy(_weighted(logits, temperature))
        + _cross_entropy(_weighted(logits.T, temperature))
    ) / 2


def _cross_entropy(logits: Float[Tensor, "batch batch"]) -> Float[Tensor, ""]:
    return -F.log_softmax(logits, dim=1).diagonal().mean()


def _weighted(
    logits: Float[Tensor, "batch batch"], temperature: float
) -> Float[Tensor, "batch batch"]:
    return logits * len(logits) * F.softmax(logits / temperature, dim=0)
