"""Fixture that loads golden vectors of the public reference implementations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Golden = dict[str, np.ndarray]


@pytest.fixture(scope="session")
def golden(shared_data: Path) -> Callable[[str], Golden]:
    """Load the arrays of one file by key; skips the test if the file is absent."""

    def load(name: str) -> Golden:
        path = shared_data / "parity" / f"{name}.npz"
        if not path.is_file():
            pytest.skip(f"no golden vectors in {path}; set SEEHEAR_TEST_DATA to their folder")
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}

    return load
