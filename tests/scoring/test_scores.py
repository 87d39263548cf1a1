"""The product's scan and stage 2 against the naive twin: any lengths, either storage."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

from scoring import reference
from scoring.blocks import make_block, make_tokens
from seehear.engine.scoring import (
    Affine,
    BlockWeights,
    FoldedBlock,
    build_index,
    fold_weights,
    modality_scores,
    pack,
    pack_stored,
    packed,
    quantise,
    scan,
    scores,
)

DIM = 24
LENGTHS = st.lists(st.integers(0, 40), min_size=1, max_size=7)


@given(
    seed=st.integers(0, 999),
    lengths=LENGTHS,
    queries=st.sampled_from([0, 1, 3]),
    residual=st.booleans(),
    int8=st.booleans(),
    threads=st.integers(1, 3),
)
@settings(max_examples=60)
def test_a_scan_equals_the_naive_twin(
    seed: int, lengths: list[int], queries: int, residual: bool, int8: bool, threads: int
) -> None:
    rng = np.random.default_rng(seed)
    block, tokens = make_block(rng, DIM, residual=residual), make_tokens(rng, lengths, DIM)
    tokens = quantise(tokens) if int8 else tokens
    query = rng.standard_normal((queries, DIM))
    found = scan(query, build_index(fold_weights(block), tokens), threads=threads)
    assert found.shape == (queries, len(lengths))
    difference = np.abs(found - reference.score(query, ((block, tokens),))).max(initial=0)
    assert difference < (1e-4 if int8 else 1e-6)  # the Gram matrices of int8 tokens are int16


@given(
    seed=st.integers(0, 999),
    lengths=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20)), min_size=1, max_size=6),
    queries=st.sampled_from([0, 1, 4, 66]),
    residuals=st.tuples(st.booleans(), st.booleans()),
    int8=st.booleans(),
    threads=st.integers(1, 3),
)
@settings(max_examples=40)
def test_stage_2_equals_the_naive_twin(
    seed: int,
    lengths: list[tuple[int, int]],
    queries: int,
    residuals: tuple[bool, bool],
    int8: bool,
    threads: int,
) -> None:
    rng = np.random.default_rng(seed)
    weights = [make_block(rng, DIM, residual=residual) for residual in residuals]
    tokens = [make_tokens(rng, [each[i] for each in lengths], DIM) for i in (0, 1)]
    tokens = [quantise(each) for each in tokens] if int8 else tokens
    blocks, query = [fold_weights(each) for each in weights], rng.standard_normal((queries, DIM))
    bound = 1e-4 if int8 else 1e-6  # int8 tokens meet queries in int16
    split = modality_scores(query, blocks, tokens, threads=threads)
    expected = reference.score(query, tuple(zip(weights, tokens, strict=True)))
    assert np.abs(split.sum(0) - expected).max(initial=0) < bound
    alone = modality_scores(query, blocks[1:], tokens[1:], threads=threads)
    expected = reference.score(query, ((weights[1], tokens[1]),))
    assert np.abs(alone[0] - expected).max(initial=0) < bound


def tefal(rng: np.random.Generator, dim: int) -> list[FoldedBlock]:
    return [fold_weights(make_block(rng, dim, residual=True)) for _ in range(2)]


def test_each_part_is_what_its_modality_adds() -> None:
    """t . E_m / |E|: one part alone changes sign with its vector, not with the other."""
    rng = np.random.default_rng(1)
    blocks, tokens = tefal(rng, DIM), [make_tokens(rng, [3, 2], DIM), make_tokens(rng, [9, 0], DIM)]
    query = rng.standard_normal((5, DIM))
    split = modality_scores(query, blocks, tokens)
    alone = modality_scores(query, blocks[:1], tokens[:1])
    np.testing.assert_array_equal(split[1, :, 1], 0)
    np.testing.assert_allclose(split[0, :, 1], alone[0, :, 1], atol=1e-7)
    ratio = split[0, :, 0] / alone[0, :, 0]  # |E_seen| / |E|, the same sign throughout
    assert (ratio > 0).all()


def test_tiles_of_any_size_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    blocks, tokens = tefal(rng, DIM), [make_tokens(rng, [n] * 30, DIM) for n in (12, 40)]
    index, query = build_index(blocks[0], tokens[0]), rng.standard_normal((7, DIM))
    once = modality_scores(query, blocks, tokens), scan(query, index)
    monkeypatch.setattr(scores, "TILE_NUMBERS", 3 * 7 * DIM)
    monkeypatch.setattr(scores, "SCAN_TOKENS", 30)
    np.testing.assert_array_equal(modality_scores(query, blocks, tokens), once[0])
    np.testing.assert_array_equal(scan(query, index), once[1])


def test_summaries_need_no_vector_per_query() -> None:
    """Items of one token: each pools to itself, whatever the query."""
    rng = np.random.default_rng(3)
    weights, tokens = make_block(rng, DIM, residual=True), make_tokens(rng, [1, 0, 1, 1], DIM)
    query = rng.standard_normal((9, DIM))
    found = modality_scores(query, [fold_weights(weights)], [tokens])[0]
    assert np.abs(found - reference.score(query, ((weights, tokens),))).max() < 1e-6


def test_padding_is_never_read_and_inputs_stay() -> None:
    rng = np.random.default_rng(4)
    block = fold_weights(make_block(rng, DIM, residual=True))
    tokens, mask = rng.standard_normal((5, 7, DIM)), rng.random((5, 7)) < 0.6
    query, dirty = rng.standard_normal((3, DIM)), tokens.copy()
    dirty[~mask] = np.nan
    before = query.copy(), dirty.copy()
    for kind in (pack, pack_stored):
        clean, other = (
            (scan(query, build_index(block, each)), modality_scores(query, [block], [each]))
            for each in (kind(x, mask) for x in (tokens, dirty))
        )
        np.testing.assert_array_equal(clean[0], other[0])
        np.testing.assert_array_equal(clean[1], other[1])
    np.testing.assert_array_equal(query, before[0])
    np.testing.assert_array_equal(dirty, before[1])


@pytest.mark.parametrize("int8", [False, True])
def test_stored_tokens_are_scored_as_they_are(int8: bool) -> None:
    """No second layer norm: float16 keeps its values, int8 its bytes and a scale."""
    rng = np.random.default_rng(5)
    z = make_tokens(rng, [12] * 4, 64).values.reshape(4, 12, 64)
    mask = np.ones((4, 12), bool)
    stored = z.astype(np.float16)
    if int8:
        stored = np.rint(z * (127 / np.abs(z).max(-1, keepdims=True))).astype(np.int8)
    kept = pack_stored(stored, mask)
    assert kept.values.dtype == (np.int8 if int8 else np.float32)
    np.testing.assert_array_equal(kept.values.reshape(stored.shape), stored.astype(np.float32))
    assert np.abs(kept.rows(0, 4) - z.reshape(-1, 64)).max() < (0.02 if int8 else 0.002)
    assert quantise(kept) is kept if int8 else quantise(kept).values.dtype == np.int8


def test_int8_stays_near_float32_and_is_a_quarter_of_it() -> None:
    rng = np.random.default_rng(6)
    block, tokens = (
        fold_weights(make_block(rng, 128, residual=True)),
        make_tokens(rng, [12] * 40, 128),
    )
    small, query = quantise(tokens), rng.standard_normal((40, 128))
    assert small.values.nbytes * 4 == tokens.values.nbytes
    exact, rough = (scan(query, build_index(block, each)) for each in (tokens, small))
    assert 0 < np.abs(exact - rough).max() < 0.1 * exact.std()
    assert np.abs(small.rows(0, 40) - tokens.values).max() <= 0.51 * small.scale.max()


def test_scores_with_large_logits_stay_finite() -> None:
    rng = np.random.default_rng(7)
    weights, tokens = make_block(rng, DIM, residual=True), make_tokens(rng, [4, 30], DIM)
    np.multiply(weights.query.weight, 400, out=weights.query.weight)
    query, block = rng.standard_normal((3, DIM)), fold_weights(weights)
    expected = reference.score(query, ((weights, tokens),))
    for found in (
        scan(query, build_index(block, tokens)),
        modality_scores(query, [block], [tokens])[0],
    ):
        assert np.abs(found - expected).max() < 1e-4  # float32 logits of several hundred


def test_a_count_in_the_logit_equals_copies_of_a_token() -> None:
    rng = np.random.default_rng(8)
    weights, few = make_block(rng, 16, residual=True), make_tokens(rng, [5], 16)
    copies = packed(np.repeat(few.values, [2, 4, 2, 2, 4], axis=0), np.array([14]))
    counted = packed(few.values, np.array([5]), np.log([2, 4, 2, 2, 4]))
    query, block = rng.standard_normal((3, 16)), fold_weights(weights)
    expected = reference.score(query, ((weights, copies),))
    assert np.abs(scan(query, build_index(block, counted)) - expected).max() < 1e-6
    assert np.abs(modality_scores(query, [block], [counted])[0] - expected).max() < 1e-6


def test_equals_the_stored_vectors_of_xpool(shared_data: Path) -> None:
    numbers = np.load(shared_data / "parity" / "xpool.npz", allow_pickle=False)

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
    tokens, block = pack(frames, np.ones(frames.shape[:2], bool)), fold_weights(weights)
    expected = numbers["out_h1/sims"]
    assert np.abs(reference.score(text, ((weights, tokens),)) - expected).max() < 1e-6
    assert np.abs(scan(text, build_index(block, tokens)) - expected).max() < 1e-6
    assert np.abs(modality_scores(text, [block], [tokens])[0] - expected).max() < 1e-6


def test_blas_gets_its_threads_back_after_overlapping_calls() -> None:
    rng = np.random.default_rng(9)
    blocks, tokens = tefal(rng, 64)[:1], [make_tokens(rng, [12] * 40, 64)]
    query = rng.standard_normal((300, 64))
    with threadpool_limits(2, user_api="blas"):
        before = [each["num_threads"] for each in threadpool_info()]
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: modality_scores(query, blocks, tokens), range(12)))
        assert all(np.array_equal(each, found[0]) for each in found)
        assert [each["num_threads"] for each in threadpool_info()] == before
    assert 2 in before


def test_misfits_are_refused_with_what_came() -> None:
    rng = np.random.default_rng(10)
    blocks, tokens = tefal(rng, 16), [make_tokens(rng, [2] * 3, 16) for _ in range(2)]
    with pytest.raises(ValueError, match=r"queries are \(2, 8\), tokens 16 wide, the block 16"):
        modality_scores(np.ones((2, 8)), blocks, tokens)
    with pytest.raises(ValueError, match="3 items in one modality but 2 in another"):
        modality_scores(np.ones((2, 16)), blocks, [tokens[0], tokens[1].take(np.arange(2))])
    with pytest.raises(ValueError, match="tokens are 8 wide, the block 16"):
        build_index(blocks[0], make_tokens(rng, [2], 8))


MEMORY = """
import ctypes
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from pathlib import Path
from scoring.blocks import make_block, make_tokens
from seehear.engine.scoring import fold_weights, modality_scores

def status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024

rng = np.random.default_rng(0)
block, tokens = fold_weights(make_block(rng, 256, residual=True)), make_tokens(rng, [12] * 600, 256)
query = rng.standard_normal((100, 256))
modality_scores(query[:10], [block], [tokens], threads=2)
ctypes.CDLL(None).malloc_trim(0)
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
modality_scores(query, [block], [tokens], threads=2)
print(status("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads peak memory from /proc")
def test_memory_is_that_of_a_tile() -> None:
    command = [sys.executable, "-c", MEMORY, str(Path(__file__).parents[1])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 45, "one vector per pair would be 61 MB, with intermediates 180"
