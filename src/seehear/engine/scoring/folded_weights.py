"""A block's weights, folded once per checkpoint, so that a pair costs dots and no projections.

With z a layer-normalised token (no gain, no bias), a the attention of a query over an item's
tokens and C = I - 11^T / D:

    w_f = A z_f + a0                the attention's output per token, mean removed
    h_f = H z_f + h0                what reaches the last layer norm per token, times its gain
    E   = i3 (i1 sum_f a_f h_f + e) + b

i1 and i3 are the inverse deviations of the two closing layer norms; without residual i3 = 1, e = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from seehear.engine.vectors import unit

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
class FoldedBlock:
    """A block folded in float64, kept in float32."""

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

    def output(self, pooled: Float32[np.ndarray, "*pair dim"]) -> Float32[np.ndarray, "*pair dim"]:
        """E of pooled tokens sum_f a_f z_f: the part of the block behind the attention."""
        last = self.weights.norm_out
        w = self._unit_variance(pooled @ self.A.T + self.a0)
        if self.residual is not None and self.weights.norm_last is not None:
            w = self._unit_variance(w @ self.residual.B.T + self.residual.d)
            last = self.weights.norm_last
        w *= last.weight.astype(np.float32)
        w += self.b
        return w

    def _unit_variance(self, w: np.ndarray) -> np.ndarray:
        """In place; the mean is 0 already."""
        w /= np.sqrt(np.square(w).mean(-1, keepdims=True) + self.weights.eps)
        return w


@dataclass(frozen=True, kw_only=True, eq=False)
class FoldedQueries:
    """A batch of queries against one block: two vectors and three numbers each.

    logit_f = probe . z_f;  t . E = i3 (i1 (sum_f a_f value . z_f + t . h0) + t . e) + t . b,
    with t of unit length.
    """

    probe: Float32[np.ndarray, "query dim"]
    value: Float32[np.ndarray, "query dim"]
    constants: Float32[np.ndarray, "three query"]  # t . h0, t . e, t . b


def fold_weights(weights: BlockWeights) -> FoldedBlock:
    """All matrices of a block.

    q~ = g1 * W_K^T (W_Q LN(t) + b_Q) / sqrt(D); b_K and b1 shift all logits alike and drop out.
    """
    gain, shift = _pair(weights.norm_in)
    query, query0 = _pair(weights.query)
    key, _ = _pair(weights.key)
    value, value0 = _pair(weights.value)
    out, out0 = _pair(weights.out)
    to_probe = gain[:, None] * key.T / np.sqrt(len(gain))
    A = _centred(out @ value * gain)
    a0 = _centred(out @ (value @ shift + value0) + out0)
    H, h0, e, b, residual = _closing(weights, A, a0)
    arrays = {"probe": to_probe @ query, "probe0": to_probe @ query0, "A": A, "a0": a0}
    arrays |= {"H": H, "h0": h0, "e": e, "b": b}
    single = {name: _float32(array) for name, array in arrays.items()}
    return FoldedBlock(weights=weights, residual=residual, **single)


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
    residual = Residual(B=_float32(B), d=_float32(d))
    return last[:, None] * (B @ A), last * (B @ a0), last * d, last0, residual


def fold_queries(block: FoldedBlock, query: Float[np.ndarray, "query dim"]) -> FoldedQueries:
    """The query side of every pair: two matrix products per query."""
    query = query.astype(np.float64)
    normed = layer_norm_no_affine(query, eps=block.weights.eps)
    normed = normed * block.weights.norm_in.weight + block.weights.norm_in.bias
    text = unit(query)
    constants = np.stack([text @ block.h0, text @ block.e, text @ block.b])
    return FoldedQueries(
        probe=_float32(normed.astype(np.float32) @ block.probe.T + block.probe0),
        value=_float32(text.astype(np.float32) @ block.H),
        constants=constants.astype(np.float32),
    )


def layer_norm_no_affine(
    x: Float[np.ndarray, "*rows dim"], *, eps: float
) -> Float[np.ndarray, "*rows dim"]:
    """(x - mean) / sqrt(var + eps)."""
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt(np.square(centred).mean(-1, keepdims=True) + eps)


def _pair(affine: Affine) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(affine.weight, np.float64), np.asarray(affine.bias, np.float64)


def _float32(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x, np.float32)


def _centred(x: np.ndarray) -> np.ndarray:
    return x - x.mean(0)
