"""TEFAL without adaptive frame shift, and with a frozen AST (Table 7)."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

FIXED_SHIFT = 160  # samples at 16 kHz: AST's 10 ms (Table 7, "fixed"); drops sound after 10.24 s

Tower = TypeVar("Tower", bound=nn.Module)


def freeze(tower: Tower) -> Tower:
    """Freeze the weights of a tower in place, and return it.

    Source: TEFAL, Table 7, "frozen".
    Note: AST has neither dropout nor running means, so training mode does not change its output.
    """
    return tower.requires_grad_(False)
