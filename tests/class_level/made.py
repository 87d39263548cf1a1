"""Small synthetic pairs for tests of class-level systems."""

from __future__ import annotations

import numpy as np

from seehear_lab.class_level.pairs import ClassPairs


def made_pairs(
    count: int = 90, *, dims: tuple[int, int] = (7, 5), classes: int = 4, seed: int = 0
) -> ClassPairs:
    """Noise around a centre per class, plus a component that both views share."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    shared = rng.normal(size=(count, 3)) + 2 * rng.normal(size=(classes, 3))[labels]
    x, y = (shared @ rng.normal(size=(3, d)) + rng.normal(size=(count, d)) for d in dims)
    return ClassPairs(x=x.astype(np.float32), y=y.astype(np.float32), labels=labels)
