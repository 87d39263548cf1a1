"""Scores and losses of DSTC in plain loops over pairs."""

from __future__ import annotations

import numpy as np

from models.naive import Array, Weights, linear, unit


def network(x: Array, w: Weights, name: str) -> Array:
    """Linear, BatchNorm by running statistics, ReLU; nothing after the last layer."""
    last = max(int(key.split(".")[1]) for key in w if key.startswith(f"{name}."))
    for at in range(0, last + 1, 3):
        x = linear(x, w, f"{name}.{at}")
        if at < last:
            mean, variance = (w[f"{name}.{at + 1}.running_{s}"] for s in ("mean", "var"))
            gain, bias = (w[f"{name}.{at + 1}.{s}"] for s in ("weight", "bias"))
            x = np.maximum((x - mean) / np.sqrt(variance + 1e-5) * gain + bias, 0)
    return x


def score_dstc(text: Array, frames: Array, sound: Array, w: Weights, heads: int) -> float:
    if not len(frames):
        return 0.0
    native = network(frames.mean(0), w, "encode_y")
    return float(unit(text) @ unit(network(native, w, "to_x")))


def score_dstc_query(text: Array, frames: Array, sound: Array, w: Weights, heads: int) -> float:
    if not len(frames):
        return 0.0
    return float(unit(text) @ unit(network(frames.mean(0), w, "encode_y")))


def losses(
    xs: Array, ys: Array, labels: Array, w: Weights, *, cosine: bool, summed: bool
) -> dict[str, float]:
    """Equations 1 to 5, pair by pair."""
    found = dict.fromkeys(("ce", "pc", "dstc", "cpc", "cdstc"), 0.0)

    def surprise(code: Array, name: str, label: int) -> float:
        logits = linear(code, w, name)
        return float(np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[label])

    def apart(a: Array, b: Array) -> float:
        if cosine:
            a, b = unit(a), unit(b)
        squares = (a - b) ** 2
        return float(squares.sum() if summed else squares.mean())

    for x, y, label in zip(xs, ys, labels, strict=True):
        own_x, own_y = network(x, w, "encode_x"), network(y, w, "encode_y")
        in_y, in_x = network(own_x, w, "to_y"), network(own_y, w, "to_x")
        back_x, back_y = network(in_y, w, "to_x"), network(in_x, w, "to_y")
        terms = {
            "ce": surprise(own_x, "classify_x", label) + surprise(own_y, "classify_y", label),
            "pc": apart(own_x, in_x) + apart(own_y, in_y),
            "dstc": surprise(in_y, "classify_y", label) + surprise(in_x, "classify_x", label),
            "cpc": apart(own_x, back_x) + apart(own_y, back_y),
            "cdstc": surprise(back_x, "classify_x", label) + surprise(back_y, "classify_y", label),
        }
        for name, value in terms.items():
            found[name] += value / len(xs)
    return found
