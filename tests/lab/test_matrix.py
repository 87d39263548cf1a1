"""Many queries against the naive twin: any sizes, any masks, either storage."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring import reference
from scoring.blocks import make_block, make_tokens
from seehear.engine.scoring import fold_weights, modality_scores, quantise
from seehear_lab.evaluate.matrix import PreparedItems, prepare, rescore_top, score_matrix, scores

DIM = 24
LENGTHS = st.lists(st.integers(0, 9), min_size=1, max_size=7)


@given(
    seed=st.integers(0, 999),
    lengths=LENGTHS,
    queries=st.sampled_from([0, 1, 5, 70]),
    residual=st.booleans(),
    int8=st.booleans(),
    most_tokens=st.sampled_from([-1, 9]),
    threads=st.integers(1, 3),
)
@settings(max_examples=60)
def test_one_modality_equals_the_naive_twin(
    seed: int,
    lengths: list[int],
    queries: int,
    residual: bool,
    int8: bool,
    most_tokens: int,
    threads: int,
) -> None:
    rng = np.random.default_rng(seed)
    block, tokens = make_block(rng, DIM, residual=residual), make_tokens(rng, lengths, DIM)
    tokens = quantise(tokens) if int8 else tokens
    query = rng.standard_normal((queries, DIM))
    items = prepare([fold_weights(block)], [tokens], most_tokens=most_tokens)
    found = score_matrix(query, items, threads=threads)
    assert found.shape == (queries, len(lengths))
    difference = np.abs(found - reference.score(query, ((block, tokens),))).max(initial=0)
    assert difference < (1e-4 if int8 else 1e-6)  # the Gram matrices of int8 tokens are int16


@given(
    seed=st.integers(0, 999),
    lengths=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20)), min_size=1, max_size=6),
    queries=st.sampled_from([1, 4, 66]),
    residuals=st.tuples(st.booleans(), st.booleans()),
    most_tokens=st.sampled_from([-1, 5, 20]),
)
@settings(max_examples=40)
def test_two_modalities_equal_the_naive_twin_and_the_product(
    seed: int,
    lengths: list[tuple[int, int]],
    queries: int,
    residuals: tuple[bool, bool],
    most_tokens: int,
) -> None:
    """Without Gram matrices, with those of sight alone (where sound is longer), and with both."""
    rng = np.random.default_rng(seed)
    weights = [make_block(rng, DIM, residual=residual) for residual in residuals]
    tokens = [make_tokens(rng, [each[i] for each in lengths], DIM) for i in (0, 1)]
    blocks, query = [fold_weights(each) for each in weights], rng.standard_normal((queries, DIM))
    found = score_matrix(query, prepare(blocks, tokens, most_tokens=most_tokens))
    expected = reference.score(query, tuple(zip(weights, tokens, strict=True)))
    assert np.abs(found - expected).max() < 1e-6
    assert np.abs(found - modality_scores(query, blocks, tokens).sum(0)).max() < 1e-6


def tefal(rng: np.random.Generator, items: int, dim: int) -> PreparedItems:
    """Twelve frames and forty sound tokens per item."""
    blocks = [fold_weights(make_block(rng, dim, residual=True)) for _ in range(2)]
    return prepare(blocks, [make_tokens(rng, [n] * items, dim) for n in (12, 40)])


def test_tiles_and_lanes_of_any_size_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    items, query = tefal(rng, 30, 64), rng.standard_normal((150, 64))
    once = score_matrix(query, items)
    monkeypatch.setattr(scores, "_ROWS", 60)
    monkeypatch.setattr(scores, "_QUERIES", 37)
    assert np.abs(score_matrix(query, items) - once).max() < 1e-6
    one_by_one = np.concatenate([score_matrix(row[None], items) for row in query])
    assert np.abs(one_by_one - once).max() < 1e-6


def test_scores_with_large_logits_stay_finite() -> None:
    rng = np.random.default_rng(6)
    weights, tokens = make_block(rng, DIM, residual=True), make_tokens(rng, [4, 30], DIM)
    np.multiply(weights.query.weight, 400, out=weights.query.weight)
    query = rng.standard_normal((70, DIM))
    expected = reference.score(query, ((weights, tokens),))
    for most_tokens in (30, -1):
        items = prepare([fold_weights(weights)], [tokens], most_tokens=most_tokens)
        found = score_matrix(query, items)
        assert np.abs(found - expected).max() < 1e-4  # float32 logits of several hundred


def test_the_best_are_rescored_exactly_and_the_rest_stay() -> None:
    rng = np.random.default_rng(7)
    block, tokens = make_block(rng, DIM, residual=False), make_tokens(rng, [6] * 20, DIM)
    items, query = prepare([fold_weights(block)], [tokens]), rng.standard_normal((9, DIM))
    rough = rng.standard_normal((9, 20)).astype(np.float32)
    before, mixed = rough.copy(), rescore_top(query, rough, items, top_k=5)
    exact, order = score_matrix(query, items), np.argsort(-rough, axis=1)
    best, rest = order[:, :5], order[:, 5:]
    np.testing.assert_allclose(
        np.take_along_axis(mixed, best, 1), np.take_along_axis(exact, best, 1), atol=1e-6
    )
    np.testing.assert_array_equal(
        np.take_along_axis(mixed, rest, 1), np.take_along_axis(rough, rest, 1)
    )
    np.testing.assert_array_equal(rough, before)


def test_misfits_are_refused_with_what_came() -> None:
    rng = np.random.default_rng(10)
    items, short = tefal(rng, 3, 16), make_tokens(rng, [2, 2], 16)
    with pytest.raises(ValueError, match=r"queries are \(2, 8\); expected \[query, 16\]"):
        score_matrix(np.ones((2, 8)), items)
    with pytest.raises(ValueError, match="3 items seen but 2 heard"):
        prepare([items.seen.block] * 2, [items.seen.tokens, short])


MEMORY = """
import ctypes
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from pathlib import Path
from scoring.blocks import make_block, make_tokens
from seehear.engine.scoring import fold_weights
from seehear_lab.evaluate.matrix import prepare, score_matrix

def status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024

rng = np.random.default_rng(0)
block = fold_weights(make_block(rng, 256, residual=True))
query = rng.standard_normal((2000, 256))
for length, count in ((12, 300), (1212, 3)):
    items = prepare([block], [make_tokens(rng, [length] * count, 256)])
    score_matrix(query[:100], items, threads=2)
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    score_matrix(query, items, threads=2)
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
