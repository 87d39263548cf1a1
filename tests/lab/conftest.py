"""Registers the ablation models for the tests of the lab only."""

from __future__ import annotations

import pytest

from lab.variants import ENTRIES
from seehear.models import registry


@pytest.fixture
def variants(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the ablation models."""
    for name, entry in ENTRIES.items():
        monkeypatch.setitem(registry._ENTRIES, name, entry)
