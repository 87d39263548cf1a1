"""Compiled code where no cache can be written is compiled in each process."""

import numpy as np
import pytest
from numba.core import caching

from seehear.engine.scoring.compiled import compiled


def test_without_room_for_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])

    def double(x: np.ndarray) -> np.ndarray:
        return x * 2

    assert compiled(double)(np.arange(3)).tolist() == [0, 2, 4]
