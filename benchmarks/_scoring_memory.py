"""Made-up tokens of the published sizes, and the memory that scoring them takes."""

from __future__ import annotations

import ctypes
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import _xpool
from seehear.engine.scoring import Branch, branch, cross, fold, pack, quantise, score

DIM, FRAMES, SOUND, POOLED = 512, 12, 1212, 101


def model(seed: int = 0) -> _xpool.XPool:
    torch.manual_seed(seed)
    return _xpool.XPool(DIM).eval().requires_grad_(False)


def made_up(rng: np.random.Generator, items: int, tokens: int) -> np.ndarray:
    """Raw tokens that wander about a direction of their item."""
    values = rng.standard_normal((items, tokens, DIM), np.float32)
    values += 1.5 * rng.standard_normal((items, 1, DIM), np.float32)
    knots = rng.standard_normal((items, 8, DIM), np.float32)
    values += np.repeat(knots, -(-tokens // 8), axis=1)[:, :tokens]
    return values


def prepared(xpool: _xpool.XPool, raw: np.ndarray, *, int8: bool = False) -> Branch:
    tokens = pack(raw, np.ones(raw.shape[:2], bool))
    return branch(fold(xpool.weights()), quantise(tokens) if int8 else tokens)


def peak_mb(call: Callable[[], object]) -> float:
    """Resident memory that a call needs beyond what was there before it, in MB (Linux)."""
    ctypes.CDLL(None).malloc_trim(0)  # or freed memory of earlier work hides what is needed
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    call()
    return max(_status("VmHWM") - before, 0.1)


def _status(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no {field} in /proc/self/status; this benchmark needs Linux")


def alone(work: Callable[..., tuple[float, float]], *given: object) -> tuple[float, float]:
    """`work(*given)` in a fresh process: (MB, seconds)."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, given)


def matrix_memory(ours: bool, size: int) -> tuple[float, float]:
    rng, xpool = np.random.default_rng(1), model()
    query, raw = rng.standard_normal((size, DIM), np.float32), made_up(rng, size, FRAMES)
    seen = prepared(xpool, raw)
    call = (lambda: score(query, seen)) if ours else (lambda: _xpool.score(xpool, query, raw))
    score(query[:64], seen)
    _xpool.score(xpool, query[:8], raw[:8])
    begun = time.perf_counter()
    return peak_mb(call), time.perf_counter() - begun


def sound_memory(queries: int) -> tuple[float, float]:
    rng, xpool = np.random.default_rng(1), model()
    query = rng.standard_normal((queries, DIM), np.float32)
    heard = prepared(xpool, made_up(rng, 20, SOUND))
    score(query[:8], branch(heard.block, heard.tokens.take(np.arange(1))))
    begun = time.perf_counter()
    return peak_mb(lambda: score(query, heard)), time.perf_counter() - begun


def tefal_memory(queries: int, items: int) -> tuple[float, float]:
    rng = np.random.default_rng(1)
    see, hear = fold(model(0).weights()), fold(model(1).weights())
    query = rng.standard_normal((queries, DIM), np.float32)
    frames = rng.standard_normal((items, FRAMES, DIM), np.float32)
    sounds = rng.standard_normal((items, POOLED, DIM), np.float32)
    scores = np.ones((queries, items), np.float32)

    def run(first: int, stop: int) -> None:
        raw = frames[first:stop], sounds[first:stop]
        seen, heard = (
            branch(block, pack(x, np.ones(x.shape[:2], bool)))
            for block, x in zip((see, hear), raw, strict=True)
        )
        scores[:, first:stop] = score(query, seen, heard, cross(seen, heard))

    run(0, 2)
    begun = time.perf_counter()
    peak = peak_mb(lambda: [run(first, min(first + 128, items)) for first in range(0, items, 128)])
    return peak, time.perf_counter() - begun
