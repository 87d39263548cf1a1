"""The fast paths against the oracle: any sizes, any masks, either storage, few or many queries."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from scoring.blocks import make_block, make_tokens
from seehear.engine.scoring import (
    Branch,
    branch,
    cross,
    exact,
    fold,
    pack,
    parts,
    quantise,
    reference,
    rescore,
    score,
    tile,
    uniform,
)

DIM = 24
LENGTHS = st.lists(st.integers(0, 9), min_size=1, max_size=7)


@given(
    seed=st.integers(0, 999),
    lengths=LENGTHS,
    queries=st.sampled_from([0, 1, 3, 5, 70]),
    residual=st.booleans(),
    int8=st.booleans(),
    forms=st.booleans(),
    threads=st.integers(1, 3),
)
@settings(max_examples=60)
def test_one_branch_equals_the_oracle(
    seed: int,
    lengths: list[int],
    queries: int,
    residual: bool,
    int8: bool,
    forms: bool,
    threads: int,
) -> None:
    rng = np.random.default_rng(seed)
    block, tokens = make_block(rng, DIM, residual=residual), make_tokens(rng, lengths, DIM)
    tokens = quantise(tokens) if int8 else tokens
    query = rng.standard_normal((queries, DIM))
    fast = score(
        query, branch(fold(block), tokens, most_tokens=9 if forms else -1), threads=threads
    )
    assert fast.shape == (queries, len(lengths))
    difference = np.abs(fast - reference.score(query, ((block, tokens),))).max(initial=0)
    assert difference < (1e-4 if int8 else 1e-6)  # int16 queries and forms; of 3,000: 4e-5 at most


@given(
    seed=st.integers(0, 999),
    lengths=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20)), min_size=1, max_size=6),
    queries=st.sampled_from([1, 4, 66]),
    residuals=st.tuples(st.booleans(), st.booleans()),
    streams=st.booleans(),
)
@settings(max_examples=40)
def test_fusion_equals_the_oracle(
    seed: int,
    lengths: list[tuple[int, int]],
    queries: int,
    residuals: tuple[bool, bool],
    streams: bool,
) -> None:
    rng = np.random.default_rng(seed)
    see, hear = (make_block(rng, DIM, residual=residual) for residual in residuals)
    frames, sounds = (make_tokens(rng, [x[i] for x in lengths], DIM) for i in (0, 1))
    seen, heard = branch(fold(see), frames), branch(fold(hear), sounds)
    if streams:
        heard = branch(fold(hear), sounds, most_tokens=-1)
    query, linked = rng.standard_normal((queries, DIM)), None if streams else cross(seen, heard)
    expected = reference.score(query, ((see, frames), (hear, sounds)))
    fast = score(query, seen, heard, linked)
    assert np.abs(fast - expected).max() < 1e-6
    assert np.abs(parts(query, seen, heard, linked).sum(0) - expected).max() < 1e-6


def tefal(rng: np.random.Generator, items: int, dim: int) -> tuple[Branch, Branch]:
    """Twelve frames and forty sound tokens per item."""
    see, hear = (fold(make_block(rng, dim, residual=True)) for _ in range(2))
    frames, sounds = (make_tokens(rng, [n] * items, dim) for n in (12, 40))
    return branch(see, frames), branch(hear, sounds)


def test_tiles_and_lanes_of_any_size_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    seen, heard = tefal(rng, 30, 64)
    query, linked = rng.standard_normal((150, 64)), cross(seen, heard)
    once = score(query, seen, heard, linked)
    monkeypatch.setattr(exact, "_ROWS", 60)
    monkeypatch.setattr(exact, "_QUERIES", 37)
    assert np.abs(score(query, seen, heard, linked) - once).max() < 1e-6
    one_by_one = np.concatenate([score(row[None], seen, heard, linked) for row in query])
    assert np.abs(one_by_one - once).max() < 1e-6


def test_numpy_answers_where_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    seen, heard = tefal(rng, 4, 16)
    query, linked = rng.standard_normal((6, 16)), cross(seen, heard)
    fast = parts(query, seen, heard, linked), score(query, seen)
    monkeypatch.setattr(tile, "lanes", None)
    assert np.abs(parts(query, seen, heard, linked) - fast[0]).max() < 1e-6
    assert np.abs(score(query, seen) - fast[1]).max() < 1e-6


def test_padding_is_never_read_and_inputs_stay() -> None:
    rng = np.random.default_rng(3)
    block = fold(make_block(rng, DIM, residual=True))
    tokens, mask = rng.standard_normal((5, 7, DIM)), rng.random((5, 7)) < 0.6
    query, dirty = rng.standard_normal((9, DIM)), tokens.copy()
    dirty[~mask] = np.nan
    before = query.copy(), dirty.copy()
    packs = [pack(x, mask) for x in (tokens, dirty)]
    clean, other = (score(query, branch(block, each)) for each in packs)
    np.testing.assert_array_equal(clean, other)
    np.testing.assert_array_equal(query, before[0])
    np.testing.assert_array_equal(dirty, before[1])


def test_a_silent_item_is_scored_by_sight_alone() -> None:
    rng = np.random.default_rng(4)
    seen = branch(fold(make_block(rng, DIM, residual=True)), make_tokens(rng, [3, 3, 0], DIM))
    heard = branch(fold(make_block(rng, DIM, residual=True)), make_tokens(rng, [0, 2, 0], DIM))
    query = rng.standard_normal((8, DIM))
    alone, fused = score(query, seen), score(query, seen, heard, cross(seen, heard))
    np.testing.assert_allclose(fused[:, 0], alone[:, 0], atol=1e-7)
    assert np.abs(fused[:, 1] - alone[:, 1]).max() > 1e-3
    np.testing.assert_array_equal(fused[:, 2], 0)


def test_int8_stays_near_float32_and_is_a_quarter_of_it() -> None:
    rng = np.random.default_rng(5)
    block, tokens = fold(make_block(rng, 128, residual=True)), make_tokens(rng, [12] * 40, 128)
    small, query = quantise(tokens), rng.standard_normal((40, 128))
    assert small.values.nbytes * 4 == tokens.values.nbytes
    exactly, roughly = (score(query, branch(block, each)) for each in (tokens, small))
    assert 0 < np.abs(exactly - roughly).max() < 0.1 * exactly.std()
    assert np.abs(small.rows(0, 40) - tokens.values).max() <= 0.51 * small.scale.max()


def test_scores_with_large_logits_stay_finite() -> None:
    rng = np.random.default_rng(6)
    weights, tokens = make_block(rng, DIM, residual=True), make_tokens(rng, [4, 30], DIM)
    np.multiply(weights.query.weight, 400, out=weights.query.weight)
    query = rng.standard_normal((70, DIM))
    expected = reference.score(query, ((weights, tokens),))
    for most, count in ((30, 70), (30, 2), (-1, 70), (-1, 2)):
        fast = score(query[:count], branch(fold(weights), tokens, most_tokens=most))
        assert np.abs(fast - expected[:count]).max() < 1e-4  # float32 logits of several hundred


def test_rescored_head_is_exact_and_the_rest_stays() -> None:
    rng = np.random.default_rng(7)
    block, tokens = make_block(rng, DIM, residual=False), make_tokens(rng, [6] * 20, DIM)
    full, query = branch(fold(block), tokens), rng.standard_normal((9, DIM))
    rough = rng.standard_normal((9, 20)).astype(np.float32)
    before, mixed, exactly = rough.copy(), rescore(query, rough, full, head=5), score(query, full)
    head = np.argsort(-rough, axis=1)[:, :5]
    np.testing.assert_allclose(
        np.take_along_axis(mixed, head, 1), np.take_along_axis(exactly, head, 1), atol=1e-6
    )
    rest = np.argsort(-rough, axis=1)[:, 5:]
    np.testing.assert_array_equal(
        np.take_along_axis(mixed, rest, 1), np.take_along_axis(rough, rest, 1)
    )
    np.testing.assert_array_equal(rough, before)


def test_uniform_is_the_block_under_equal_weights() -> None:
    rng = np.random.default_rng(8)
    weights, tokens = make_block(rng, DIM, residual=True), make_tokens(rng, [3, 0, 5], DIM)
    made = uniform(branch(fold(weights), tokens))
    for item, length in ((0, 3), (2, 5)):
        z = tokens.rows(item, item + 1).astype(np.float64)
        expected = reference.pool(weights, np.full((1, length), 1 / length), z)[0]
        np.testing.assert_allclose(made[item], expected, atol=1e-5)
    np.testing.assert_array_equal(made[1], 0)


def test_blas_gets_its_threads_back_after_overlapping_calls() -> None:
    rng = np.random.default_rng(9)
    seen, query = tefal(rng, 40, 64)[0], rng.standard_normal((300, 64))
    before = [each["num_threads"] for each in threadpool_info()]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: score(query, seen), range(12)))
    assert all(np.array_equal(each, found[0]) for each in found)
    assert [each["num_threads"] for each in threadpool_info()] == before


def test_misfits_are_refused_with_what_came() -> None:
    rng = np.random.default_rng(10)
    seen, heard = tefal(rng, 3, 16)
    with pytest.raises(ValueError, match=r"queries are \(2, 8\); expected \[query, 16\]"):
        score(np.ones((2, 8)), seen)
    with pytest.raises(ValueError, match="3 items seen but 2 heard"):
        score(np.ones((2, 16)), seen, branch(heard.block, heard.tokens.take(np.arange(2))))
    with pytest.raises(ValueError, match="`cross` goes with two branches"):
        score(np.ones((2, 16)), seen, heard)
    with pytest.raises(ValueError, match="tokens are 8 wide, the block 16"):
        branch(seen.block, make_tokens(rng, [2], 8))


MEMORY = """
import ctypes
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from pathlib import Path
from scoring.blocks import make_block, make_tokens
from seehear.engine.scoring import branch, fold, score

def status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024

rng = np.random.default_rng(0)
block = fold(make_block(rng, 256, residual=True))
query = rng.standard_normal((2000, 256))
short, long = (branch(block, make_tokens(rng, [n] * v, 256)) for n, v in ((12, 300), (1212, 3)))
for tokens in (short, long):
    score(query[:100], tokens, threads=2)
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    score(query, tokens, threads=2)
    print(status("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads peak memory from /proc")
def test_memory_is_that_of_a_tile() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(Path(__file__).parents[1])],
        capture_output=True,
        text=True,
        check=True,
    )
    short, long = (float(line) for line in done.stdout.split())
    one_vector_per_pair = 2000 * 300 * 256 * 4 / 2**20
    assert short < one_vector_per_pair / 10, "586 MB would be one vector for each pair"
    assert long < 64
