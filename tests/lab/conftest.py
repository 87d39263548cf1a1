"""The lab's own models are registered in its tests alone."""

from __future__ import annotations

import pytest

from lab.variants import ENTRIES
from seehear.models import registry


@pytest.fixture
def variants(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of ablations as a recipe finds them."""
    for name, entry in ENTRIES.items():
        monkeypatch.setitem(registry._ENTRIES, name, entry)
