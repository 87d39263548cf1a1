"""Exact text-conditioned scores beside X-Pool's own form (in torch), on made-up tokens.

    python benchmarks/scoring.py [--quick] [--json FILE]

Ratios come from runs in turn, medians of them; peak memory is what a process of its own needs
beyond its inputs and loaded code. Ours holds tokens and forms as a library does (prepared once);
the row "from raw tokens" prepares them inside the time. Exit code 1 when a floor is missed.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from threadpoolctl import threadpool_limits

import _xpool
from _report import arguments, report
from _scoring_memory import (
    DIM,
    FRAMES,
    SOUND,
    alone,
    made_up,
    matrix_memory,
    model,
    prepared,
    sound_memory,
    tefal_memory,
)
from seehear.engine.scoring import (
    Branch,
    PackedTokens,
    branch,
    merged,
    pack,
    packed,
    rescore,
    score,
)

WARM_S = 0.05  # an idle processor needs several calls to come back to its speed
rows: list[tuple[str, float, str]] = []
missed: list[str] = []


def note(what: str, figure: float, unit: str, *, least: float = -1, most: float = -1) -> None:
    """One row of the table; with a floor (`least`) or a ceiling (`most`), held to it."""
    bound = f", >= {least:g}" if least >= 0 else f", <= {most:g}" if most >= 0 else ""
    rows.append((what, float(figure), unit + bound))
    if (least >= 0 and figure < least) or (most >= 0 and figure > most):
        missed.append(f"{what}: {figure:.4g} {unit}{bound}")


def in_turn(times: int, *calls: Callable[[], object]) -> list[float]:
    """Median seconds of each call, run one after the other in rounds, each warmed up for WARM_S."""
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(times):
        for call, own in zip(calls, taken, strict=True):
            time.sleep(0.1)  # threads of the call before still spin for a while
            until = time.perf_counter() + WARM_S
            call()  # processors and threads wake up, memory is where a busy service has it
            while time.perf_counter() < until:
                call()
            begun = time.perf_counter()
            call()
            own.append(time.perf_counter() - begun)
    return [float(np.median(own)) for own in taken]


def busy() -> None:
    """A neighbour that keeps one core at work until it is ended."""
    x = np.random.default_rng(0).standard_normal((256, 256))
    with threadpool_limits(1):
        while True:
            x = np.tanh(x @ x)


def matrix(quick: bool) -> None:
    size, rng, xpool = 400 if quick else 1000, np.random.default_rng(0), model()
    query, raw = rng.standard_normal((size, DIM), np.float32), made_up(rng, size, FRAMES)
    seen, name = prepared(xpool, raw), f"(a) {size} x {size} x {FRAMES}"
    theirs, ours, all_of_it = in_turn(
        1 if quick else 5,
        lambda: _xpool.score(xpool, query, raw),
        lambda: score(query, seen),
        lambda: score(query, prepared(xpool, raw)),
    )
    difference = np.abs(score(query, seen) - _xpool.score(xpool, query, raw)).max()
    note(f"{name}: X-Pool's form", theirs, "s")
    note(f"{name}: ours", ours, "s")
    note(f"{name}: faster", theirs / ours, "x", least=60)
    note(f"{name}: faster, from raw tokens and weights", theirs / all_of_it, "x")
    note(f"{name}: max abs difference", 1e6 * difference, "1e-6", most=1)
    memory = [alone(matrix_memory, ours, size)[0] for ours in (False, True)]
    note(f"{name}: peak memory, X-Pool's form", memory[0], "MB")
    note(f"{name}: peak memory, ours", memory[1], "MB")
    note(f"{name}: less memory", memory[0] / memory[1], "x", least=-1 if quick else 100)
    roofline(4 if quick else 15)


def roofline(times: int) -> None:
    rng = np.random.default_rng(2)
    query, raw = rng.standard_normal((1000, DIM), np.float32), made_up(rng, 1000, FRAMES)
    seen = prepared(model(), raw)
    right = np.ascontiguousarray(rng.standard_normal((2000, DIM), np.float32).T)
    bare, ours = in_turn(times, lambda: seen.tokens.values @ right, lambda: score(query, seen))
    note("(f) share of a bare matrix product's rate", 100 * bare / ours, "%", least=80)
    context = multiprocessing.get_context("spawn")
    neighbours = [context.Process(target=busy, daemon=True) for _ in range(2)]
    for neighbour in neighbours:
        neighbour.start()
    time.sleep(2)
    (crowded,) = in_turn(times, lambda: score(query, seen))
    for neighbour in neighbours:
        neighbour.kill()
        neighbour.join()
    (quiet,) = in_turn(times, lambda: score(query, seen))
    note("(g) slower with two busy neighbours", crowded / min(quiet, ours), "x", most=2.5)


def one_query(quick: bool) -> None:
    rng, xpool = np.random.default_rng(3), model()
    query, raw = rng.standard_normal((1, DIM), np.float32), made_up(rng, 1000, FRAMES)
    seen, small = prepared(xpool, raw), prepared(xpool, raw, int8=True)
    with torch.inference_mode():
        cached = xpool.keys_and_values(torch.from_numpy(raw))
        text = torch.from_numpy(query)
        theirs, kept, ours, int8 = in_turn(
            7 if quick else 25,
            lambda: _xpool.score(xpool, query, raw),
            lambda: xpool(text, cached),
            lambda: score(query, seen),
            lambda: score(query, small),
        )
    note("(b) one query, K = 1000: ours", 1000 * ours, "ms")
    note("(b) one query, K = 1000: faster than X-Pool's form", theirs / ours, "x", least=100)
    note("(b) one query, K = 1000: faster than with cached K and V", kept / ours, "x", least=25)
    note("(b) one query, K = 1000, int8: faster than X-Pool's form", theirs / int8, "x")
    note("(b) one query, K = 1000, int8: faster than with cached K and V", kept / int8, "x")
    scan(xpool, query, raw, quick)


def scan(xpool: _xpool.XPool, query: np.ndarray, raw: np.ndarray, quick: bool) -> None:
    some = prepared(xpool, raw[:992], int8=True)  # 62 whole blocks of forms, 101 times
    assert some.forms is not None
    items, size = 101 * 992, int(some.starts[-1])
    tokens = PackedTokens(
        values=np.tile(some.tokens.values, (101, 1)),
        scale=np.tile(some.tokens.scale, 101),
        log_count=np.tile(some.tokens.log_count, 101),
        offsets=np.arange(items + 1) * FRAMES,
    )
    everything = Branch(
        block=some.block,
        tokens=tokens,
        forms=np.tile(some.forms[:size], 101),
        steps=np.tile(some.steps, (101, 1, 1)),
        starts=np.arange(items // 16 + 1) * some.starts[1],
        longest=np.full(items // 16, FRAMES),
        model=some.model,
    )
    means = np.tile(raw[:992].mean(1), (101, 1))
    plain, ours, theirs = in_turn(
        7 if quick else 25,
        lambda: means @ query[0],
        lambda: score(query, everything),
        lambda: _xpool.score(xpool, query, raw),
    )
    note("(c) 100,000 items, int8: ours", 1000 * ours, "ms")
    note("(c) 100,000 items, int8: time of a mean-vector product", ours / plain, "x", most=4)
    note("(c) 100,000 items, int8: faster than X-Pool's K = 1000", theirs / ours, "x", least=1)


def sound(quick: bool) -> None:
    rng, xpool = np.random.default_rng(4), model()
    query, raw = rng.standard_normal((1000, DIM), np.float32), made_up(rng, 100, SOUND)
    heard, small = prepared(xpool, raw), prepared(xpool, raw, int8=True)
    theirs, ours, int8 = in_turn(
        2 if quick else 5,
        lambda: _xpool.score(xpool, query[:1], raw),
        lambda: score(query[:1], heard),
        lambda: score(query[:1], small),
    )
    note("(d) sound, one query, K = 100: ours", 1000 * ours, "ms")
    note("(d) sound, one query, K = 100: faster", theirs / ours, "x", least=100)
    note("(d) sound, one query, K = 100, int8: faster", theirs / int8, "x", least=200)
    part = branch(heard.block, heard.tokens.take(np.arange(20)))
    theirs, ours = in_turn(
        1 if quick else 3,
        lambda: _xpool.score(xpool, query, raw[:20]),
        lambda: score(query, part),
    )
    difference = np.abs(score(query, part) - _xpool.score(xpool, query, raw[:20])).max()
    note("(d) sound, 1000 x 20: faster, exact", theirs / ours, "x", least=1.8)
    note("(d) sound, 1000 x 20: max abs difference", 1e6 * difference, "1e-6", most=1)
    note("(d) sound, 1000 x 20: peak memory", alone(sound_memory, 1000)[0], "MB", most=64)
    merging(heard, query, theirs, quick)


def merging(heard: Branch, query: np.ndarray, theirs: float, quick: bool) -> None:
    """X-Pool's form is timed on 20 items and multiplied."""
    rng, items = np.random.default_rng(5), 100 if quick else 1000
    theirs *= items / 20
    values = np.empty((items * SOUND, DIM), np.float32)
    for item in range(items):
        one = pack(made_up(rng, 1, SOUND), np.ones((1, SOUND), bool))
        values[item * SOUND : (item + 1) * SOUND] = one.values
    full = branch(heard.block, packed(values, np.full(items, SOUND)))
    short = branch(heard.block, merged(full.tokens))
    begun = time.perf_counter()
    rough = score(query, short)
    found = rescore(query, rough, full, head=items // 10)
    ours = time.perf_counter() - begun
    some = slice(0, 20 if quick else 200)
    exact = score(query[some], full)
    note("(d) sound, merged (64), top tenth exact: ours", ours, "s")
    note("(d) sound, merged (64), top tenth exact: faster", theirs / ours, "x", least=8)
    note("(d) sound, merged (64): top-10 overlap", 100 * overlap(rough[some], exact), "%")
    note("(d) sound, + top tenth exact: top-10 overlap", 100 * overlap(found[some], exact), "%")


def overlap(scores: np.ndarray, exact: np.ndarray) -> float:
    """Share of each query's ten best that are the ten best of the exact scores."""
    mine, true = (np.argsort(-x, axis=1)[:, :10] for x in (scores, exact))
    return float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(mine, true, strict=True)]))


def main() -> int:
    given = arguments((__doc__ or "").splitlines()[0])
    matrix(given.quick)
    one_query(given.quick)
    sound(given.quick)
    queries, items = (500, 500) if given.quick else (7408, 7408)
    memory, seconds = alone(tefal_memory, queries, items)
    note(f"(e) TEFAL, {queries} x {items}, 12 frames, 101 sound tokens", seconds, "s")
    note("(e) TEFAL: peak memory over the inputs", memory, "MB", most=1000)
    report(rows, packages=("numpy", "torch", "numba"), to=given.json)
    for miss in missed:
        print(f"missed: {miss}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
