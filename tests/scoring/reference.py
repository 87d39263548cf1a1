"""The naive twin of the scoring room: the block and its scores in the order of the equations.

Note: it forms one float64 vector per [query, item] pair; all faster forms are tested against it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from seehear.engine.scoring.folded_weights import Affine, BlockWeights, layer_norm_no_affine
from seehear.engine.scoring.tokens import PackedTokens

Rows = Float[np.ndarray, "*rows dim"]


def layer_norm(x: Rows, affine: Affine, eps: float) -> Rows:
    """With gain and bias."""
    return layer_norm_no_affine(x, eps=eps) * affine.weight + affine.bias


def linear(x: Rows, affine: Affine) -> Rows:
    """W x + b for each row."""
    return x @ affine.weight.T + affine.bias


def attention(
    block: BlockWeights,
    query: Float[np.ndarray, "query dim"],
    z: Float[np.ndarray, "token dim"],
    log_count: Float[np.ndarray, " token"],
) -> Float[np.ndarray, "query token"]:
    """softmax_f(q . k_f / sqrt(D) + log count_f) over the tokens of one item."""
    q = linear(layer_norm(query, block.norm_in, block.eps), block.query)
    k = linear(z * block.norm_in.weight + block.norm_in.bias, block.key)
    logits = q @ k.T / np.sqrt(query.shape[1]) + log_count
    weights = np.exp(logits - logits.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True)


def pool(
    block: BlockWeights,
    weights: Float[np.ndarray, "query token"],
    z: Float[np.ndarray, "token dim"],
) -> Float[np.ndarray, "query dim"]:
    """E: what each query pools from one item, given its attention over the tokens."""
    v = linear(z * block.norm_in.weight + block.norm_in.bias, block.value)
    o = layer_norm(linear(weights @ v, block.out), block.norm_out, block.eps)
    if block.linear is None or block.norm_last is None:
        return o
    return layer_norm(o + linear(o, block.linear), block.norm_last, block.eps)


def score(
    query: Float[np.ndarray, "query dim"],
    modalities: Sequence[tuple[BlockWeights, PackedTokens]],
) -> Float[np.ndarray, "query item"]:
    """cos(t, sum of E over the modalities); a modality in which an item is silent adds 0.

    Note: an item that has no token in any modality scores 0.
    """
    query = query.astype(np.float64)
    scores = np.zeros((len(query), len(modalities[0][1])))
    for item in range(scores.shape[1]):
        total = np.zeros_like(query)
        for block, tokens in modalities:
            z = tokens.rows(item, item + 1).astype(np.float64)
            if len(z):
                count = tokens.log_count[tokens.offsets[item] : tokens.offsets[item + 1]]
                total += pool(block, attention(block, query, z, count), z)
        length = np.linalg.norm(query, axis=1) * np.linalg.norm(total, axis=1)
        scores[:, item] = np.einsum("qd,qd->q", query, total) / np.maximum(length, 1e-12)
    return scores
