"""Vectors at unit length, in numpy."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def unit(x: Float[np.ndarray, "row dim"]) -> Float[np.ndarray, "row dim"]:
    """Rows at unit length; a row of zeros stays."""
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
