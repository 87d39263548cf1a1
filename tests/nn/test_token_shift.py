"""Token shift on integer tokens, exactly as in the code of the paper."""

from __future__ import annotations

import pytest
import torch

from seehear.nn.token_shift import token_shift


@pytest.mark.parametrize("patches", [16, 49, 196])
@pytest.mark.parametrize("frames", [1, 2, 12])
def test_shift_equals_loops(patches: int, frames: int) -> None:
    tokens = (
        torch.arange(2 * frames * (patches + 1) * 2).reshape(2, frames, patches + 1, 2).double()
    )
    present = [frames, max(frames - 3, 0)]
    mask = torch.arange(frames) < torch.tensor(present)[:, None]
    expected, step = tokens.clone(), (patches + 1) // 7
    for item, count in enumerate(present):
        for frame in range(frames):
            for a in range(1, patches + 1, step):
                expected[item, frame, a] = tokens[item, max(frame - 1, 0), a]
            for b in range(4, patches + 1, step):
                after = frame + 1 if frame + 1 < count else frame
                expected[item, frame, b] = tokens[item, after, b]
    assert torch.equal(token_shift(tokens, mask), expected)


def test_shifted_patches_of_the_grid() -> None:
    """In 7 x 7 patches columns 0 and 3 move, in 14 x 14 those of every second row: 14 patches."""
    for side in (7, 14):
        frames = torch.arange(3.0)[None, :, None, None].expand(1, 3, side * side + 1, 1)
        moved = token_shift(frames, torch.ones(1, 3, dtype=torch.bool))[0, 1, :, 0] - 1
        assert moved[0] == 0
        grid = moved[1:].reshape(side, side)
        rows = torch.arange(0, side, side // 7)
        assert (grid[rows, 0] == -1).all()
        assert (grid[rows, 3] == 1).all()
        assert int((grid != 0).sum()) == 14


def test_frame_of_six_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="needs 7 tokens per frame, not 6"):
        token_shift(torch.zeros(1, 2, 6, 3), torch.ones(1, 2, dtype=torch.bool))
