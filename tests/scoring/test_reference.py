"""The oracle against loops over query, item and token, and against X-Pool's stored vectors."""

from __future__ import annotations

from math import exp, sqrt
from pathlib import Path

import numpy as np
import pytest

from scoring.blocks import make_block
from seehear.engine.scoring import Affine, BlockWeights, branch, fold, pack, reference, score


def norm(x: list[float], affine: Affine, eps: float) -> list[float]:
    mean = sum(x) / len(x)
    deviation = sqrt(sum((value - mean) ** 2 for value in x) / len(x) + eps)
    return [
        (v - mean) / deviation * g + b
        for v, g, b in zip(x, affine.weight, affine.bias, strict=True)
    ]


def times(x: list[float], affine: Affine) -> list[float]:
    return [
        sum(w * v for w, v in zip(row, x, strict=True)) + b
        for row, b in zip(affine.weight, affine.bias, strict=True)
    ]


def drawn(block: BlockWeights, query: list[float], tokens: list[list[float]]) -> list[float]:
    """E_{.|T} from raw tokens, in the order of the equations."""
    q = times(norm(query, block.norm_in, block.eps), block.query)
    normed = [norm(token, block.norm_in, block.eps) for token in tokens]
    keys, values = ([times(x, part) for x in normed] for part in (block.key, block.value))
    logits = [sum(a * b for a, b in zip(q, k, strict=True)) / sqrt(len(q)) for k in keys]
    weights = [exp(logit) / sum(exp(other) for other in logits) for logit in logits]
    pooled = [
        sum(w * v[d] for w, v in zip(weights, values, strict=True)) for d in range(len(query))
    ]
    o = norm(times(pooled, block.out), block.norm_out, block.eps)
    if block.linear is None or block.norm_last is None:
        return o
    through = [a + b for a, b in zip(o, times(o, block.linear), strict=True)]
    return norm(through, block.norm_last, block.eps)


@pytest.mark.parametrize("residual", [True, False])
def test_oracle_equals_loops(residual: bool) -> None:
    rng = np.random.default_rng(0)
    see, hear = (make_block(rng, 5, residual=residual) for _ in range(2))
    query, frames, sounds = (rng.standard_normal(shape) for shape in ((3, 5), (4, 3, 5), (4, 2, 5)))
    frame_mask = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 0], [1, 1, 0]], bool)
    sound_mask = np.array([[1, 1], [0, 0], [0, 1], [1, 0]], bool)
    both = ((see, pack(frames, frame_mask)), (hear, pack(sounds, sound_mask)))
    scores = reference.score(query, both, chunk=3)
    for t, v in np.ndindex(3, 4):
        total = np.array(drawn(see, query[t].tolist(), frames[v][frame_mask[v]].tolist()))
        if sound_mask[v].any():
            total += drawn(hear, query[t].tolist(), sounds[v][sound_mask[v]].tolist())
        cosine = query[t] @ total / np.linalg.norm(query[t]) / np.linalg.norm(total)
        assert scores[t, v] == pytest.approx(cosine, abs=1e-6)


def test_equals_the_stored_vectors_of_xpool(shared_data: Path) -> None:
    stored = shared_data / "parity" / "xpool.npz"
    if not stored.is_file():
        pytest.skip(f"no {stored}")
    numbers = np.load(stored, allow_pickle=False)

    def affine(name: str) -> Affine:
        return Affine(weight=numbers[f"w_h1/{name}.weight"], bias=numbers[f"w_h1/{name}.bias"])

    names = [f"cross_attn.{part}_proj" for part in ("q", "k", "v", "out")]
    query, key, value, out = (affine(name) for name in names)
    weights = BlockWeights(
        norm_in=affine("layer_norm1"),
        query=query,
        key=key,
        value=value,
        out=out,
        norm_out=affine("layer_norm2"),
        linear=affine("linear_proj"),
        norm_last=affine("layer_norm3"),
    )
    text, frames = numbers["in/text"], numbers["in/frames"]
    tokens = pack(frames, np.ones(frames.shape[:2], bool))
    expected = numbers["out_h1/sims"]
    assert np.abs(reference.score(text, ((weights, tokens),)) - expected).max() < 1e-6
    assert np.abs(score(text, branch(fold(weights), tokens)) - expected).max() < 1e-6
