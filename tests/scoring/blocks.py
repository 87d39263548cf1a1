"""Random blocks and token sets for the tests of scoring."""

from __future__ import annotations

import numpy as np

from seehear.engine.scoring import Affine, BlockWeights, PackedTokens, packed

Array = np.ndarray


def make_block(rng: np.random.Generator, dim: int, *, residual: bool) -> BlockWeights:
    """Perturbed identities, so that a transposed or forgotten weight shows."""

    def linear() -> Affine:
        weight = np.eye(dim) + 0.5 * rng.standard_normal((dim, dim)) / np.sqrt(dim)
        return Affine(weight=weight, bias=0.1 * rng.standard_normal(dim))

    def norm() -> Affine:
        return Affine(
            weight=1 + 0.2 * rng.standard_normal(dim), bias=0.2 * rng.standard_normal(dim)
        )

    return BlockWeights(
        norm_in=norm(),
        query=linear(),
        key=linear(),
        value=linear(),
        out=linear(),
        norm_out=norm(),
        linear=linear() if residual else None,
        norm_last=norm() if residual else None,
    )


def make_tokens(rng: np.random.Generator, lengths: list[int], dim: int) -> PackedTokens:
    """Layer-normalised tokens, item after item."""
    raw = rng.standard_normal((sum(lengths), dim))
    raw -= raw.mean(1, keepdims=True)
    raw /= np.sqrt(np.square(raw).mean(1, keepdims=True) + 1e-5)
    return packed(raw.astype(np.float32), np.array(lengths, int))
