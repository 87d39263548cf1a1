"""The five losses of DSTC, each in both directions (from x and from y)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from seehear.models.dstc import DSTC
from seehear.nn.pooling import unit

Distance = Literal["euclidean", "cosine"]
Reduction = Literal["mean", "sum"]


@dataclass(frozen=True, kw_only=True)
class TransitiveWeights:
    """Weights of eq. 6; 0 skips a loss, and with cpc = cdstc = 0 nothing is translated back."""

    ce: float = 1.0
    pc: float = 1.0  # alpha; PT in the tables
    dstc: float = 1.0  # beta
    cpc: float = 1.0  # gamma; cPT in the tables
    cdstc: float = 1.0  # delta


def transitive_losses(
    model: DSTC,
    x: Float[Tensor, "pair x_dim"],
    y: Float[Tensor, "pair y_dim"],
    labels: Int[Tensor, " pair"],
    *,
    weights: TransitiveWeights,
    distance: Distance = "euclidean",
    reduction: Reduction = "mean",
) -> dict[str, Float[Tensor, ""]]:
    """Losses with a nonzero weight, unweighted, by their names in `TransitiveWeights`.

    CE    = -log C_x(E_x x)_z - log C_y(E_y y)_z
    PC    = d(E_x x, T_yx E_y y) + d(E_y y, T_xy E_x x)
    DSTC  = -log C_y(T_xy E_x x)_z - log C_x(T_yx E_y y)_z
    cPC   = d(E_x x, T_yx T_xy E_x x) + d(E_y y, T_xy T_yx E_y y)
    cDSTC = -log C_x(T_yx T_xy E_x x)_z - log C_y(T_xy T_yx E_y y)_z
    Means over pairs; d is the squared Euclidean distance, for "cosine" of unit vectors.

    Source: DSTC, eq. 1-5.
    Differs: d is averaged over dimensions (`reduction` "mean"); with the sums of eq. 4 and 5, the
    published weights do not train.
    """
    own_x, own_y = model.encode_x(x), model.encode_y(y)
    in_x, in_y = model.to_x(own_y), model.to_y(own_x)  # translated

    def classification(as_x: Tensor, as_y: Tensor) -> Tensor:
        return F.cross_entropy(model.classify_x(as_x), labels) + F.cross_entropy(
            model.classify_y(as_y), labels
        )

    def distances(as_x: Tensor, as_y: Tensor) -> Tensor:
        return squared_distance(own_x, as_x, distance, reduction) + squared_distance(
            own_y, as_y, distance, reduction
        )

    losses: dict[str, Tensor] = {}
    if weights.ce:
        losses["ce"] = classification(own_x, own_y)
    if weights.pc:
        losses["pc"] = distances(in_x, in_y)
    if weights.dstc:
        losses["dstc"] = classification(in_x, in_y)
    if weights.cpc or weights.cdstc:
        back_x, back_y = model.to_x(in_y), model.to_y(in_x)
        if weights.cpc:
            losses["cpc"] = distances(back_x, back_y)
        if weights.cdstc:
            losses["cdstc"] = classification(back_x, back_y)
    return losses


def squared_distance(
    a: Float[Tensor, "pair dim"],
    b: Float[Tensor, "pair dim"],
    distance: Distance,
    reduction: Reduction,
) -> Float[Tensor, ""]:
    """Squared distance |a - b|^2, summed or averaged over dimensions, averaged over pairs."""
    if distance == "cosine":
        a, b = unit(a), unit(b)
    squares = (a - b).square()
    return squares.mean() if reduction == "mean" else squares.sum(1).mean()


def weighted_sum(
    losses: dict[str, Float[Tensor, ""]], weights: TransitiveWeights
) -> Float[Tensor, ""]:
    """Weighted sum of the losses: CE + alpha PC + beta DSTC + gamma cPC + delta cDSTC.

    Raises: ValueError if no loss has a weight.
    """
    if not losses:
        raise ValueError("all weights are 0; give at least one loss a weight")
    terms = [getattr(weights, name) * loss for name, loss in losses.items()]
    return sum(terms[1:], terms[0])
