"""The torch form against the oracle, on the processor; and on a GPU where there is one."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.blocks import make_block, make_tokens
from seehear.engine.scoring import fold, quantise, reference
from seehear.engine.scoring.on_device import score_on

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("device", DEVICES)
@given(
    seed=st.integers(0, 999),
    lengths=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20)), min_size=1, max_size=6),
    residuals=st.tuples(st.booleans(), st.booleans()),
    int8=st.booleans(),
    tile_bytes=st.sampled_from([1, 5000, 1 << 20]),
)
@settings(max_examples=40)
def test_it_equals_the_oracle(
    device: str,
    seed: int,
    lengths: list[tuple[int, int]],
    residuals: tuple[bool, bool],
    int8: bool,
    tile_bytes: int,
) -> None:
    rng = np.random.default_rng(seed)
    see, hear = (make_block(rng, 24, residual=residual) for residual in residuals)
    frames, sounds = (make_tokens(rng, [x[i] for x in lengths], 24) for i in (0, 1))
    sounds, query = quantise(sounds) if int8 else sounds, rng.standard_normal((7, 24))
    near = 1e-6 if device == "cpu" else 1e-4
    alone = score_on(device, query, (fold(see), frames), tile_bytes=tile_bytes)
    assert np.abs(alone - reference.score(query, ((see, frames),))).max() < near
    both = (fold(see), frames), (fold(hear), sounds)
    expected = reference.score(query, ((see, frames), (hear, sounds)))
    found = score_on(device, query, *both, tile_bytes=tile_bytes)
    assert np.abs(found - expected).max() < near


def test_senses_of_other_sizes_are_refused() -> None:
    rng = np.random.default_rng(0)
    block = fold(make_block(rng, 8, residual=False))
    one, two = (make_tokens(rng, [3] * count, 8) for count in (1, 2))
    with pytest.raises(ValueError, match="1 items seen but 2 heard"):
        score_on("cpu", rng.standard_normal((1, 8)), (block, one), (block, two))
