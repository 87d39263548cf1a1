"""Scores of TS2-Net, X-CLIP, AVIGATE and AVMA in plain loops."""

from __future__ import annotations

import math

import numpy as np

from models.naive import (
    Array,
    Weights,
    attend,
    linear,
    mean_of_units,
    norm,
    quick_gelu,
    softmax,
    transformer,
    unit,
)


def gelu(x: Array) -> Array:
    return np.array([v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in x])


def cosine(a: Array, b: Array) -> float:
    return float(unit(a) @ unit(b))


def score_ts2net(text: Array, frames: Array, sound: Array, w: Weights, heads: int) -> float:
    """Score of `ts2net` with 2 patches per frame, 1 of them selected."""
    if not len(frames):
        return 0.0
    sequence = []
    for start in range(0, len(frames), 3):
        x = [
            gelu(w["select.scorer.narrow.weight"] @ norm(token, w, "select.scorer.norm"))
            for token in frames[start : start + 3]
        ]
        scores = []
        for patch in (1, 2):
            joined = gelu(w["select.scorer.join.weight"] @ np.concatenate([x[patch], x[0]]))
            scores.append(math.tanh(float((w["select.scorer.out.weight"] @ joined)[0])))
        sequence += [frames[start], frames[start + 1 + int(np.argmax(scores))]]
    tokens = np.array(sequence)
    seen = tokens + transformer(tokens, w, name="temporal.transformer", heads=heads)
    cosines = np.array([cosine(text, frame) for frame in seen[::2]])
    return float(softmax(4 * cosines / np.sqrt((cosines**2).sum())) @ cosines)


def xclip_pool(x: list[float], mix: Array, temperature: float = 0.01) -> float:
    weights = softmax(np.array(x) / temperature)
    total = 0.0
    for j, value in enumerate(x):
        total += value * sum(weights[i] * mix[i, j] for i in range(len(x)))
    return total


def score_xclip(text: Array, frames: Array, sound: Array, w: Weights, heads: int) -> float:
    if not len(frames):
        return 0.0
    s, words, f = unit(text[0]), [unit(x) for x in text[1:]], [unit(x) for x in frames]
    seen = frames + transformer(frames, w, name="temporal.transformer", heads=heads)
    video = mean_of_units(seen, len(s))
    mix = {key.removeprefix("mix."): value for key, value in w.items() if key.startswith("mix.")}
    a = float(s @ w["whole"] @ video)
    b = xclip_pool([float(x @ video) for x in words], mix["word_alone"])
    c = xclip_pool([float(s @ x) for x in f], mix["frame_alone"])
    grid = [[float(x @ w["local"] @ y) for y in f] for x in words]
    by_frame = [xclip_pool([row[j] for row in grid], mix["word_inner"]) for j in range(len(f))]
    by_word = [xclip_pool(row, mix["frame_inner"]) for row in grid]
    d = xclip_pool(by_frame, mix["frame_outer"]) + xclip_pool(by_word, mix["word_outer"])
    return (a + b + c + d / 2) / 4


def cross(x: Array, memory: Array, w: Weights, *, name: str, heads: int) -> Array:
    """Attention from the rows of x to those of the memory; packed weights [q; k; v]."""
    dim = x.shape[1]
    weights, biases = w[f"{name}.qkv.weight"], w[f"{name}.qkv.bias"]
    q, k, v = (
        np.array([weights[at : at + dim] @ row + biases[at : at + dim] for row in rows])
        for at, rows in ((0, x), (dim, memory), (2 * dim, memory))
    )
    return np.array([linear(attend(row, k, v, heads), w, f"{name}.out") for row in q])


def block_part(x: Array, w: Weights, name: str, heads: int) -> Array:
    """x + Attention(LN1(x))."""
    normal = [norm(row, w, f"{name}.ln_1", 1e-12) for row in x]
    q, k, v = np.split(np.array([linear(row, w, f"{name}.qkv") for row in normal]), 3, axis=1)
    return x + np.array([linear(attend(row, k, v, heads), w, f"{name}.out") for row in q])


def mlp_part(x: Array, w: Weights, name: str) -> Array:
    """x + W_2 quick_gelu(W_1 LN2(x))."""
    wide = [linear(norm(row, w, f"{name}.ln_2", 1e-12), w, f"{name}.widen") for row in x]
    return x + np.array([linear(quick_gelu(row), w, f"{name}.narrow") for row in wide])


def score_avigate(text: Array, frames: Array, sound: Array, w: Weights, heads: int) -> float:
    if not len(frames):
        return 0.0
    placed = frames + w["position.weight"][: len(frames)]
    x = placed
    heard = w["entry"] + w["entry_position.weight"]
    tokens = np.array([linear(row, w, "project") for row in sound])
    for layer in range(2) if len(sound) else ():
        name = f"resampler.{layer}"
        heard = block_part(heard, w, name, heads)
        q, kv = (
            np.array([norm(row, w, f"{name}.ln_3", 1e-12) for row in rows])
            for rows in (heard, tokens)
        )
        heard = mlp_part(heard + cross(q, kv, w, name=f"{name}.cross", heads=heads), w, name)
    for layer in range(2):
        name = f"fusion.{layer}"
        gates = [0.0, 0.0]
        if len(sound):
            means = np.concatenate([x.mean(0), heard.mean(0)])
            for index, gate in enumerate(("gate_sound", "gate_forward")):
                hidden = quick_gelu(w[f"{name}.{gate}.fc.weight"] @ means)
                gates[index] = math.tanh(float((w[f"{name}.{gate}.proj.weight"] @ hidden)[0]))
            q = np.array([norm(row, w, f"{name}.ln_3", 1e-12) for row in x])
            x = x + gates[0] * cross(q, heard, w, name=f"{name}.cross", heads=heads)
        wide = [w[f"{name}.cross_widen.weight"] @ norm(r, w, f"{name}.ln_4", 1e-12) for r in x]
        narrow = [w[f"{name}.cross_narrow.weight"] @ quick_gelu(row) for row in wide]
        x = mlp_part(block_part(x + gates[1] * np.array(narrow), w, name, heads), w, name)
    seen = 0.05 * x + 0.95 * placed
    tau = math.exp(float(w["logit_scale"]))
    cosines = np.array([cosine(text, frame) for frame in seen])
    best = math.log(np.exp(tau * (cosines - cosines.max())).sum()) / tau + cosines.max()
    return (best + float(unit(text) @ mean_of_units(seen, len(text)))) / 2


def gelu_path(x: Array, w: Weights, name: str) -> Array:
    hidden = gelu(linear(norm(x, w, f"{name}.norm", 1e-12), w, f"{name}.widen"))
    return x + linear(hidden, w, f"{name}.narrow")


def address(x: Array, slots: Array) -> Array:
    """Weights of the slots of a memory, with temperature 0.1."""
    return softmax(np.array([cosine(x, slot) for slot in slots]) / 0.1)


def score_avma(text: Array, frames: Array, sound: Array, w: Weights, heads: int) -> float:
    if not len(frames):
        return 0.0
    x = np.array([linear(f, w, "look") for f in frames]) + w["place.weight"][: len(frames)]
    x = mlp_part(block_part(x, w, "context.0", heads), w, "context.0")
    x = block_part(x, w, "context_last", heads)
    weights = [address(gelu_path(row, w, "associative"), w["memory.sights"]) for row in x]
    recalled = [linear(a @ w["memory.sounds"], w, "imagine") for a in weights]
    heard, g = np.zeros(x.shape[1]), 0.0
    if len(sound):
        y = np.array([linear(row, w, "listen") for row in sound])
        heard = mlp_part(block_part(y, w, "sound.0", heads), w, "sound.0").mean(0)
        g = cosine(np.mean(weights, axis=0), address(heard, w["memory.sounds"]))
    rows = [w["place_fixed.weight"][0], g * heard + w["place_fixed.weight"][1]]
    rows += [
        gelu_path(row, w, "semantic") + p for row, p in zip(x, w["place_seen.weight"], strict=False)
    ]
    rows += [
        (1 - g) * row + p for row, p in zip(recalled, w["place_recalled.weight"], strict=False)
    ]
    joined = np.array(rows)
    for layer in range(2):
        name = f"join.{layer}"
        joined = mlp_part(block_part(joined, w, name, heads), w, name)
    return cosine(text, linear(joined[0], w, "out"))
