"""The oracle: the block and its scores as the equations have them, in plain numpy, in chunks.

Note: it forms one vector per [query, item] pair of a chunk; everything faster is held against it.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from seehear.engine.scoring.fold import Affine, BlockWeights, standardise
from seehear.engine.scoring.tokens import PackedTokens

Rows = Float[np.ndarray, "*rows dim"]


def layer_norm(x: Rows, affine: Affine, eps: float) -> Rows:
    """Standardised, then gain and bias."""
    return standardise(x, eps=eps) * affine.weight + affine.bias


def linear(x: Rows, affine: Affine) -> Rows:
    """W x + b for each row."""
    return x @ affine.weight.T + affine.bias


def attention(
    block: BlockWeights,
    query: Float[np.ndarray, "query dim"],
    z: Float[np.ndarray, "token dim"],
    log_count: Float[np.ndarray, " token"],
) -> Float[np.ndarray, "query token"]:
    """softmax_f(q . k_f / sqrt(D) + log count_f), over the standardised tokens of one item."""
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
    """E: what each query draws out of one item, given its weights over the tokens."""
    v = linear(z * block.norm_in.weight + block.norm_in.bias, block.value)
    o = layer_norm(linear(weights @ v, block.out), block.norm_out, block.eps)
    if block.linear is None or block.norm_last is None:
        return o
    return layer_norm(o + linear(o, block.linear), block.norm_last, block.eps)


def drawn(
    query: Float[np.ndarray, "query dim"], block: BlockWeights, tokens: PackedTokens, items: slice
) -> Float[np.ndarray, "item query dim"]:
    """E of every pair of some items, float64; zeros where an item has no token."""
    vectors = np.zeros((items.stop - items.start, *query.shape))
    for item in range(items.start, items.stop):
        z = tokens.rows(item, item + 1).astype(np.float64)
        if len(z):
            count = tokens.log_count[tokens.offsets[item] : tokens.offsets[item + 1]]
            weights = attention(block, query.astype(np.float64), z, count)
            vectors[item - items.start] = pool(block, weights, z)
    return vectors


def score(
    query: Float[np.ndarray, "query dim"],
    branches: tuple[tuple[BlockWeights, PackedTokens], ...],
    *,
    chunk: int = 32,
) -> Float[np.ndarray, "query item"]:
    """cos(t, sum of E over the branches), float64; a branch in which an item is silent adds 0.

    Note: an item that has no token in any branch scores 0. O(query * chunk * dim) memory.
    """
    items, scores = len(branches[0][1]), np.zeros((len(query), len(branches[0][1])))
    for first in range(0, items, chunk):
        some = slice(first, min(first + chunk, items))
        total = sum(drawn(query, block, tokens, some) for block, tokens in branches)
        length = np.linalg.norm(query, axis=1) * np.linalg.norm(total, axis=2)
        scores[:, some] = (np.einsum("qd,iqd->iq", query, total) / np.maximum(length, 1e-12)).T
    return scores
