"""Scores of the models in plain loops over text, item, head and token (numpy, float64)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

Array = np.ndarray
Weights = Mapping[str, Array]


def norm(x: Array, w: Weights, name: str, eps: float = 1e-5) -> Array:
    spread = np.sqrt(((x - x.mean()) ** 2).mean() + eps)
    return (x - x.mean()) / spread * w[f"{name}.weight"] + w[f"{name}.bias"]


def linear(x: Array, w: Weights, name: str) -> Array:
    return w[f"{name}.weight"] @ x + w[f"{name}.bias"]


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max())
    return e / e.sum()


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def quick_gelu(x: Array) -> Array:
    return x * sigmoid(1.702 * x)


def unit(x: Array) -> Array:
    length = np.sqrt((x**2).sum())
    return x / length if length else x


def attend(q: Array, keys: Array, values: Array, heads: int) -> Array:
    """Attention of one query over all tokens, head by head."""
    width, out = len(q) // heads, []
    for h in range(heads):
        cut = slice(h * width, (h + 1) * width)
        weights = softmax(np.array([q[cut] @ k[cut] for k in keys]) / np.sqrt(width))
        out.append(sum(a * v[cut] for a, v in zip(weights, values, strict=True)))
    return np.concatenate(out)


def conditioned(text: Array, tokens: Array, w: Weights, *, name: str, heads: int) -> Array:
    """LN(softmax(Q K^T / sqrt(D)) V W_O); 0 without tokens."""
    if not len(tokens):
        return np.zeros_like(text)
    q = linear(norm(text, w, f"{name}.norm_in"), w, f"{name}.query")
    keys = [linear(norm(x, w, f"{name}.norm_in"), w, f"{name}.key") for x in tokens]
    values = [linear(norm(x, w, f"{name}.norm_in"), w, f"{name}.value") for x in tokens]
    pooled = attend(q, np.array(keys), np.array(values), heads)
    return norm(linear(pooled, w, f"{name}.out"), w, f"{name}.norm_out")


def xpool_block(text: Array, tokens: Array, w: Weights, *, name: str, heads: int) -> Array:
    """LN3(o + W_L o); 0 without tokens."""
    if not len(tokens):
        return np.zeros_like(text)
    o = conditioned(text, tokens, w, name=f"{name}.pool", heads=heads)
    return norm(o + linear(o, w, f"{name}.linear"), w, f"{name}.norm_out")


def transformer(tokens: Array, w: Weights, *, name: str, heads: int) -> Array:
    """Pre-norm blocks over tokens + positions; layer norms with eps 1e-12."""
    x = [t + w[f"{name}.position.weight"][index] for index, t in enumerate(tokens)]
    layer = 0
    while f"{name}.blocks.{layer}.qkv.bias" in w:
        block = f"{name}.blocks.{layer}"
        qkv = np.array([linear(norm(t, w, f"{block}.ln_1", 1e-12), w, f"{block}.qkv") for t in x])
        q, k, v = np.split(qkv, 3, axis=1)
        x = [
            t + linear(attend(row, k, v, heads), w, f"{block}.out")
            for t, row in zip(x, q, strict=True)
        ]
        wide = [linear(norm(t, w, f"{block}.ln_2", 1e-12), w, f"{block}.widen") for t in x]
        x = [t + linear(quick_gelu(u), w, f"{block}.narrow") for t, u in zip(x, wide, strict=True)]
        layer += 1
    return np.array(x)


def lstm(tokens: Array, w: Weights, *, name: str) -> Array:
    """LSTM with gates in the order input, forget, cell, output."""
    hidden = cell = np.zeros(tokens.shape[1])
    out = []
    for token in tokens:
        gates = w[f"{name}.weight_ih_l0"] @ token + w[f"{name}.bias_ih_l0"]
        gates = gates + w[f"{name}.weight_hh_l0"] @ hidden + w[f"{name}.bias_hh_l0"]
        i, f, g, o = np.split(gates, 4)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(cell)
        out.append(hidden)
    return np.array(out)


def mean_of_units(frames: Array, dim: int) -> Array:
    return unit(sum((unit(f) for f in frames), np.zeros(dim)) / max(len(frames), 1))


def score_xpool(text: Array, frames: Array, sound: Array, w: Weights, heads: int) -> float:
    return float(unit(text) @ unit(xpool_block(text, frames, w, name="see", heads=heads)))


def score_tefal(
    text: Array, frames: Array, sound: Array, w: Weights, heads: int, block: Callable[..., Array]
) -> float:
    heard = np.array([linear(x, w, "project") for x in sound])
    fused = block(text, frames, w, name="see", heads=heads)
    return float(unit(text) @ unit(fused + block(text, heard, w, name="hear", heads=heads)))


def score_clip4clip(text: Array, frames: Array, sound: Array, w: Weights, heads: int) -> float:
    if len(frames) and "temporal.lstm.bias_ih_l0" in w:
        frames = frames + lstm(frames, w, name="temporal.lstm")
    if len(frames) and "temporal.transformer.position.weight" in w:
        frames = frames + transformer(frames, w, name="temporal.transformer", heads=heads)
    return float(unit(text) @ mean_of_units(frames, len(text)))


def score_tight(text: Array, frames: Array, sound: Array, w: Weights, heads: int) -> float:
    first = transformer(np.array([text, *frames]), w, name="cross.transformer", heads=heads)[0]
    pooled = quick_gelu(linear(norm(first, w, "cross.norm", 1e-12), w, "cross.dense"))
    return float(linear(pooled, w, "cross.similarity")[0])


def score_topk(text: Array, frames: Array, sound: Array, w: Weights, heads: int) -> float:
    """Score of `xpool.topk` with k = 2."""
    near = sorted((unit(f) for f in frames), key=lambda f: -float(unit(text) @ f))[:2]
    return float(unit(text) @ unit(sum(near, np.zeros(len(text)))))


def score_attention(text: Array, frames: Array, sound: Array, w: Weights, heads: int) -> float:
    """Score of `xpool.attention` with temperature 0.1."""
    if not len(frames):
        return 0.0
    units = np.array([unit(f) for f in frames])
    weights = softmax(units @ unit(text) / 0.1)
    return float(unit(text) @ unit(sum(a * f for a, f in zip(weights, units, strict=True))))
