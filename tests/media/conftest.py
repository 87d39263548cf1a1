"""Fixture that writes small media files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from media_clips import write_clip

MakeClip = Callable[..., Path]


@pytest.fixture
def make_clip(tmp_path: Path) -> MakeClip:
    """`write_clip` into the folder of the test, by file name."""
    return lambda name, **settings: write_clip(tmp_path / name, **settings)
