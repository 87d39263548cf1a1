"""Made-up tokens of the published sizes, and the memory that scoring them takes."""

from __future__ import annotations

import ctypes
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from seehear.engine.clip_ast_scores import block_weights
from seehear.engine.scoring import FoldedBlock, PackedTokens, fold_weights, pack, quantise
from seehear.models import build_model
from seehear.models.xpool import XPool
from seehear.nn.tokens import TokenBatch
from seehear_lab.evaluate.matrix import PreparedItems, prepare, score_matrix

DIM, FRAMES, SOUND, POOLED = 512, 12, 1212, 101


def model(seed: int = 0) -> XPool:
    """X-Pool with one head and perturbed weights."""
    torch.manual_seed(seed)
    made = build_model("xpool", dim=DIM).eval().requires_grad_(False)
    for weight in made.parameters():
        weight += torch.randn_like(weight) * (0.3 / DIM**0.5 if weight.ndim == 2 else 0.1)
    return made


def theirs(xpool: XPool, query: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """The model's own score in torch, one vector per pair, from raw queries and raw tokens."""
    frames, mask = torch.from_numpy(raw), torch.ones(raw.shape[:2], dtype=torch.bool)
    silent = torch.zeros(len(raw), 0, DIM), torch.zeros(len(raw), 0, dtype=torch.bool)
    items = TokenBatch(frames=frames, frame_mask=mask, audio=silent[0], audio_mask=silent[1])
    with torch.inference_mode():
        return xpool.score(torch.from_numpy(query), items).numpy()


def folded(xpool: XPool) -> FoldedBlock:
    return fold_weights(block_weights(xpool.see))


def made_up(rng: np.random.Generator, items: int, tokens: int) -> np.ndarray:
    """Raw tokens that wander about a direction of their item."""
    values = rng.standard_normal((items, tokens, DIM), np.float32)
    values += 1.5 * rng.standard_normal((items, 1, DIM), np.float32)
    knots = rng.standard_normal((items, 8, DIM), np.float32)
    values += np.repeat(knots, -(-tokens // 8), axis=1)[:, :tokens]
    return values


def tokens_of(raw: np.ndarray, *, int8: bool = False) -> PackedTokens:
    packed = pack(raw, np.ones(raw.shape[:2], bool))
    return quantise(packed) if int8 else packed


def prepared(xpool: XPool, raw: np.ndarray) -> PreparedItems:
    return prepare([folded(xpool)], [tokens_of(raw)])


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
    call = (lambda: score_matrix(query, seen)) if ours else (lambda: theirs(xpool, query, raw))
    score_matrix(query[:64], seen)
    theirs(xpool, query[:8], raw[:8])
    begun = time.perf_counter()
    return peak_mb(call), time.perf_counter() - begun


def sound_memory(queries: int) -> tuple[float, float]:
    rng, block = np.random.default_rng(1), folded(model())
    query = rng.standard_normal((queries, DIM), np.float32)
    tokens = tokens_of(made_up(rng, 20, SOUND))
    heard = prepare([block], [tokens])
    score_matrix(query[:8], prepare([block], [tokens.take(np.arange(1))]))
    begun = time.perf_counter()
    return peak_mb(lambda: score_matrix(query, heard)), time.perf_counter() - begun


def tefal_memory(queries: int, items: int) -> tuple[float, float]:
    rng, blocks = np.random.default_rng(1), [folded(model(seed)) for seed in (0, 1)]
    query = rng.standard_normal((queries, DIM), np.float32)
    frames = rng.standard_normal((items, FRAMES, DIM), np.float32)
    sounds = rng.standard_normal((items, POOLED, DIM), np.float32)
    scores = np.ones((queries, items), np.float32)

    def run(first: int, stop: int) -> None:
        tokens = [tokens_of(raw[first:stop]) for raw in (frames, sounds)]
        scores[:, first:stop] = score_matrix(query, prepare(blocks, tokens))

    run(0, 2)
    begun = time.perf_counter()
    peak = peak_mb(lambda: [run(first, min(first + 128, items)) for first in range(0, items, 128)])
    return peak, time.perf_counter() - begun
