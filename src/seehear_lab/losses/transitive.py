"""DSTC's five losses; each has a half that starts from x and one that starts from y."""

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
    """Factors of eq. 6; 0 leaves a loss out, and both cyclic ones at 0 save the way back."""

    ce: float = 1.0
    pc: float = 1.0  # alpha, PT in the tables
    dstc: float = 1.0  # beta
    cpc: float = 1.0  # gamma, cPT in the tables
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
    """Every loss with a weight, unweighted, by its name in `TransitiveWeights`.

    CE    = -log C_x(E_x x)_z - log C_y(E_y y)_z
    PC    = d(E_x x, T_yx E_y y) + d(E_y y, T_xy E_x x)
    DSTC  = -log C_y(T_xy E_x x)_z - log C_x(T_yx E_y y)_z
    cPC   = d(E_x x, T_yx T_xy E_x x) + d(E_y y, T_xy T_yx E_y y)
    cDSTC = -log C_x(T_yx T_xy E_x x)_z - log C_y(T_xy T_yx E_y y)_z
    means over pairs; d squared Euclidean, of unit vectors for "cosine".

    Source: DSTC, eq. 1-5.
    Differs: d is divided by the number of dimensions (`reduction` "mean"): with the sum that eq. 4
    and 5 write, the published weights do not train.
    """
    own_x, own_y = model.encode_x(x), model.encode_y(y)
    in_x, in_y = model.to_x(own_y), model.to_y(own_x)  # translated

    def kept(as_x: Tensor, as_y: Tensor) -> Tensor:
        return F.cross_entropy(model.classify_x(as_x), labels) + F.cross_entropy(
            model.classify_y(as_y), labels
        )

    def apart(as_x: Tensor, as_y: Tensor) -> Tensor:
        return squared_distance(own_x, as_x, distance, reduction) + squared_distance(
            own_y, as_y, distance, reduction
        )

    found: dict[str, Tensor] = {}
    if weights.ce:
        found["ce"] = kept(own_x, own_y)
    if weights.pc:
        found["pc"] = apart(in_x, in_y)
    if weights.dstc:
        found["dstc"] = kept(in_x, in_y)
    if weights.cpc or weights.cdstc:
        back_x, back_y = model.to_x(in_y), model.to_y(in_x)
        if weights.cpc:
            found["cpc"] = apart(back_x, back_y)
        if weights.cdstc:
            found["cdstc"] = kept(back_x, back_y)
    return found


def squared_distance(
    a: Float[Tensor, "pair dim"],
    b: Float[Tensor, "pair dim"],
    distance: Distance,
    reduction: Reduction,
) -> Float[Tensor, ""]:
    """Mean over pairs of |a - b|^2, summed or averaged over dimensions."""
    if distance == "cosine":
        a, b = unit(a), unit(b)
    squares = (a - b).square()
    return squares.mean() if reduction == "mean" else squares.sum(1).mean()


def total(losses: dict[str, Float[Tensor, ""]], weights: TransitiveWeights) -> Float[Tensor, ""]:
    """CE + alpha PC + beta DSTC + gamma cPC + delta cDSTC.

    Raises: ValueError if no loss has a weight.
    """
    if not losses:
        raise ValueError("all weights are 0; give at least one loss a weight")
    terms = [getattr(weights, name) * loss for name, loss in losses.items()]
    return sum(terms[1:], terms[0])
