"""A block's weights, folded once per checkpoint, so that a pair costs dots and no projections.

With z a standardised token, a the attention of a query over an item's tokens, C = I - 11^T / D:

    w_f = A z_f + a0                the attention's output per token, mean removed
    h_f = H z_f + h0                what reaches the last layer norm per token, times its gain
    E   = i3 (i1 sum_f a_f h_f + e) + b

i1 and i3 are the inverse deviations of the two closing layer norms; without residual i3 = 1, e = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Matrix = Float[np.ndarray, "dim dim"]
Vector = Float[np.ndarray, " dim"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Affine:
    """x -> weight x + bias; for a layer norm `weight` is its gain, a vector."""

    weight: Float[np.ndarray, "..."]
    bias: Vector


@dataclass(frozen=True, kw_only=True, eq=False)
class BlockWeights:
    """One text-conditioned pool with one head, as a checkpoint has it (linears are y = W x + b).

    `linear` and `norm_last` are X-Pool's residual linear and LN3; TEFAL's eq. 1-3 has neither.
    """

    norm_in: Affine
    query: Affine
    key: Affine
    value: Affine
    out: Affine
    norm_out: Affine
    linear: Affine | None = None
    norm_last: Affine | None = None
    eps: float = 1e-5


@dataclass(frozen=True, kw_only=True, eq=False)
class Residual:
    """y = B (i1 w) + d, then the last layer norm: what X-Pool adds to eq. 1-3."""

    B: Matrix
    d: Vector


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """A folded block: folded in float64, kept in float32."""

    weights: BlockWeights
    probe: Matrix  # q~ = probe LN(t) + probe0
    probe0: Vector
    A: Matrix
    a0: Vector
    H: Matrix
    h0: Vector
    e: Vector
    b: Vector
    residual: Residual | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Folded:
    """A batch of queries against one block: two vectors and three numbers each, float32.

    logit_f = probe . z_f;  t . E = i3 (i1 (sum_f a_f read . z_f + h0) + e) + b,  t of length 1.
    """

    both: Float[np.ndarray, "two query dim"]  # probe, read
    constants: Float[np.ndarray, "three query"]  # t . h0, t . e, t . b


def fold(weights: BlockWeights) -> Block:
    """All matrices of a block in float64.

    q~ = g1 * W_K^T (W_Q LN(t) + b_Q) / sqrt(D); b_K and b1 shift all logits alike and drop out.
    """
    gain, shift = _pair(weights.norm_in)
    query, query0 = _pair(weights.query)
    key, _ = _pair(weights.key)
    value, value0 = _pair(weights.value)
    out, out0 = _pair(weights.out)
    dim = len(gain)
    to_probe = gain[:, None] * key.T / np.sqrt(dim)
    A = _centred(out @ value * gain)
    a0 = _centred(out @ (value @ shift + value0) + out0)
    H, h0, e, b, residual = _closing(weights, A, a0)
    return Block(
        weights=weights,
        probe=_float32(to_probe @ query),
        probe0=_float32(to_probe @ query0),
        A=_float32(A),
        a0=_float32(a0),
        H=_float32(H),
        h0=_float32(h0),
        e=_float32(e),
        b=_float32(b),
        residual=residual,
    )


def _closing(
    weights: BlockWeights, A: Matrix, a0: Vector
) -> tuple[Matrix, Vector, Vector, Vector, Residual | None]:
    gain, shift = _pair(weights.norm_out)
    if weights.linear is None or weights.norm_last is None:
        return gain[:, None] * A, gain * a0, np.zeros_like(gain), shift, None
    linear, linear0 = _pair(weights.linear)
    last, last0 = _pair(weights.norm_last)
    through = linear + np.eye(len(gain))
    B = _centred(through * gain)
    d = _centred(through @ shift + linear0)
    return (
        last[:, None] * (B @ A),
        last * (B @ a0),
        last * d,
        last0,
        Residual(B=_float32(B), d=_float32(d)),
    )


def fold_queries(block: Block, query: Float[np.ndarray, "query dim"]) -> Folded:
    """The query side of every pair: two matrix products per query."""
    query = query.astype(np.float64)
    normed = standardise(query, eps=block.weights.eps)
    normed = normed * block.weights.norm_in.weight + block.weights.norm_in.bias
    unit = query / np.maximum(np.linalg.norm(query, axis=1, keepdims=True), 1e-12)
    both = np.empty((2, *query.shape), np.float32)
    np.matmul(normed.astype(np.float32), block.probe.T, out=both[0])
    both[0] += block.probe0
    np.matmul(unit.astype(np.float32), block.H, out=both[1])
    constants = np.stack([unit @ block.h0, unit @ block.e, unit @ block.b])
    return Folded(both=both, constants=constants.astype(np.float32))


def standardise(x: Float[np.ndarray, "*rows dim"], *, eps: float) -> Float[np.ndarray, "*rows dim"]:
    """(x - mean) / sqrt(var + eps): a layer norm without gain and bias."""
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt(np.square(centred).mean(-1, keepdims=True) + eps)


def _pair(affine: Affine) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(affine.weight, np.float64), np.asarray(affine.bias, np.float64)


def _float32(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x, np.float32)


def _centred(x: np.ndarray) -> np.ndarray:
    return x - x.mean(0)
