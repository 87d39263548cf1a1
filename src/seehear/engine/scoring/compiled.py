"""Compiler settings and exp for the compiled loops."""

# pyright: basic, reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, no_type_check

import numpy as np
from numba import config, njit

settings: Any = config
HERE = Path(__file__).parent
VERSION = sha256(b"".join(each.read_bytes() for each in sorted(HERE.glob("*.py")))).hexdigest()[:16]


def compiled(function: Any) -> Any:
    """Machine code of a function, cached on disk for this version of the package.

    numba's own cache notices a change in the file of a function, but not in those that it calls.
    Where no folder is writable, each process compiles again.
    """
    make = partial(njit, nogil=True, fastmath=True, error_model="numpy")
    chosen = settings.CACHE_DIR
    settings.CACHE_DIR = str(Path(chosen or HERE / "__pycache__") / VERSION)
    try:
        return make(cache=True)(function)
    except RuntimeError:  # numba finds no folder that it may write to
        return make()(function)
    finally:
        settings.CACHE_DIR = chosen


@compiled
@no_type_check
def exp(x):
    """e^x of x <= 0: 2^k times a polynomial of degree 6; e^-87 below -87."""
    y = max(x, np.float32(-87.0))
    k = np.floor(y * np.float32(1.44269504) + np.float32(0.5))
    r = y - k * np.float32(0.693147181)
    p = (np.float32(1 / 720) * r + np.float32(1 / 120)) * r + np.float32(1 / 24)
    p = (p * r + np.float32(1 / 6)) * r + np.float32(0.5)
    p = (p * r + np.float32(1)) * r + np.float32(1)
    return p * np.int32((np.int32(k) + np.int32(127)) << np.int32(23)).view(np.float32)
