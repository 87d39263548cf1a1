"""The torch form against the naive twin, on the processor; and on a GPU where there is one."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring import reference
from scoring.blocks import make_block
from seehear.engine.scoring import fold_weights, pack
from seehear.nn.tokens import TokenBatch
from seehear_lab.evaluate.matrix import score_in_torch

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def padded(
    rng: np.random.Generator, lengths: list[int], device: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Raw tokens, NaN where there is none, and which are there."""
    mask = torch.arange(max([*lengths, 1])) < torch.tensor(lengths)[:, None]
    tokens = torch.from_numpy(rng.standard_normal((*mask.shape, 24))).float()
    return tokens.masked_fill(~mask[..., None], torch.nan).to(device), mask.to(device)


@pytest.mark.parametrize("device", DEVICES)
@given(
    seed=st.integers(0, 999),
    lengths=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20)), min_size=1, max_size=6),
    residuals=st.tuples(st.booleans(), st.booleans()),
    tile_bytes=st.sampled_from([1, 5000, 1 << 20]),
)
@settings(max_examples=40)
def test_it_equals_the_naive_twin(
    device: str,
    seed: int,
    lengths: list[tuple[int, int]],
    residuals: tuple[bool, bool],
    tile_bytes: int,
) -> None:
    rng = np.random.default_rng(seed)
    see, hear = (make_block(rng, 24, residual=residual) for residual in residuals)
    frames, sounds = (padded(rng, [x[i] for x in lengths], device) for i in (0, 1))
    items = TokenBatch(
        frames=frames[0], frame_mask=frames[1], audio=sounds[0], audio_mask=sounds[1]
    )
    query = torch.from_numpy(rng.standard_normal((7, 24))).float().to(device)
    seen, heard = (pack(*(x.cpu().numpy() for x in modality)) for modality in (frames, sounds))
    for weights, tokens in (((see,), (seen,)), ((see, hear), (seen, heard))):
        blocks = [fold_weights(each) for each in weights]
        found = score_in_torch(query, items, blocks, tile_bytes=tile_bytes).cpu().numpy()
        expected = reference.score(query.cpu().numpy(), tuple(zip(weights, tokens, strict=True)))
        assert np.abs(found - expected).max() < (1e-6 if device == "cpu" else 1e-4)
