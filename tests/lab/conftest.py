"""Ablation models, tiny towers and generated data sets for the tests of the lab."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from lab.generated_sets import write_set
from lab.variants import ENTRIES
from seehear.models import registry
from seehear_lab.datasets.spec import load_spec
from tiny_towers import make_ast_folder, make_clip_folder


@pytest.fixture
def variants(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the ablation models."""
    for name, entry in ENTRIES.items():
        monkeypatch.setitem(registry._ENTRIES, name, entry)


@pytest.fixture(scope="session")
def towers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("towers")
    make_clip_folder(folder / "clip")
    make_ast_folder(folder / "ast", stride=40)  # 78 patches: fast
    return folder


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A data set by name in its real layout, written once."""

    @cache
    def root(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        write_set(load_spec(name), folder)
        return folder

    return root
