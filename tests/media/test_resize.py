"""Resizing equals Pillow's, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seehear.media import read_picture
from seehear.types import MediaSpec


def picture(height: int, width: int) -> np.ndarray:
    """A random picture with structures of all sizes down to single pixels."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (height // 9 + 1, width // 9 + 1, 3), dtype=np.uint8)
    blots = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(blots) // 2 + rng.integers(0, 128, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(("height", "width"), [(720, 1280), (1080, 608), (48, 64), (225, 300)])
def test_resizing_equals_pillow(tmp_path: Path, height: int, width: int) -> None:
    before, side_px = Image.fromarray(picture(height, width)), 224
    before.save(tmp_path / "a.png")
    found = read_picture(tmp_path / "a.png", MediaSpec(side_px=side_px, resize="pillow"))
    size = tuple(side_px * length // min(height, width) for length in (width, height))
    wanted = np.asarray(before.resize(size, Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("height", "width", "shape"),
    [(640, 1440, (64, 144)), (1440, 640, (144, 64)), (333, 500, (64, 96)), (40, 4000, (64, 512))],
)
def test_longer_side_is_rounded_as_in_transformers(
    tmp_path: Path, height: int, width: int, shape: tuple[int, int]
) -> None:
    Image.fromarray(picture(height, width)).save(tmp_path / "a.png")
    spec = MediaSpec(side_px=64, resize="pillow")
    assert read_picture(tmp_path / "a.png", spec).shape[:2] == shape
