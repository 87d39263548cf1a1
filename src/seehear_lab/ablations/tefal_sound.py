"""TEFAL without adaptive frame shift, and with a frozen AST (Table 7)."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from jaxtyping import Float32
from torch import nn

from seehear.encoders.filterbank import filter_bank

FIXED_SHIFT = 160  # samples at 16 kHz: 10 ms, AST's own

Tower = TypeVar("Tower", bound=nn.Module)


def fixed_filter_bank(
    waveform: Float32[np.ndarray, " sample"],
) -> tuple[Float32[np.ndarray, "1024 128"], int]:
    """AST's input with a fixed shift of 10 ms; sound after 10.24 s is dropped.

    Source: TEFAL, Table 7, "fixed".
    """
    return filter_bank(waveform, shift=FIXED_SHIFT)


def freeze(tower: Tower) -> Tower:
    """Freeze the weights of a tower in place, and return it.

    Source: TEFAL, Table 7, "frozen".
    Note: AST has neither dropout nor running means, so training mode does not change its output.
    """
    return tower.requires_grad_(False)
