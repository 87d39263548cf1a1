"""Pictures shrink and grow as Pillow makes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seehear.media import read_picture
from seehear.media.resize import resize
from seehear.types import MediaSpec

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")


def picture(height: int, width: int) -> np.ndarray:
    """Blots of all sizes down to single pixels."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (height // 9 + 1, width // 9 + 1, 3), dtype=np.uint8)
    blots = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(blots) // 2 + rng.integers(0, 128, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("height", "width", "new_height", "new_width"),
    [
        (720, 1280, 224, 398),
        (1080, 608, 398, 224),
        (224, 224, 224, 224),
        (225, 300, 224, 298),
        (90, 120, 224, 298),  # grows
        (480, 720, 224, 398),  # pixels that are not square
        (1, 10, 3, 30),
        (7, 3, 149, 64),
    ],
)
def test_resized_as_by_pillow(height: int, width: int, new_height: int, new_width: int) -> None:
    before = picture(height, width)
    given = before.copy()
    found = resize(given, new_height, new_width).astype(int)
    size, how = (new_width, new_height), Image.Resampling.BICUBIC
    wanted = np.asarray(Image.fromarray(before).resize(size, how)).astype(int)
    assert np.abs(found - wanted).max() <= 1
    assert np.abs(found - wanted).mean() < 0.001
    np.testing.assert_array_equal(given, before)


@pytest.mark.parametrize(
    ("height", "width", "shape"),
    [(640, 1440, (64, 144)), (1440, 640, (144, 64)), (333, 500, (64, 96)), (40, 4000, (64, 512))],
)
def test_longer_side_is_counted_as_transformers_counts_it(
    tmp_path: Path, height: int, width: int, shape: tuple[int, int]
) -> None:
    Image.fromarray(picture(height, width)).save(tmp_path / "a.png")
    spec = MediaSpec(side_px=64, resize="pillow")
    assert read_picture(tmp_path / "a.png", spec).shape[:2] == shape
