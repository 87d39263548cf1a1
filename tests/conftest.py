"""What tests of several rooms share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

install_import_hook("seehear", "shape_check.check")  # shapes in annotations are checked in tests

from seehear.engine.tags import TagsEngine
from seehear.engine.tags_files import TagsFiles, default_folder
from seehear.errors import ModelError

settings.register_profile("seehear", deadline=None)  # machines of CI are slow now and then
settings.load_profile("seehear")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the shared clips and data, `SEEHEAR_TEST_DATA` or `../shared`; else a skip."""
    folder = Path(os.environ.get("SEEHEAR_TEST_DATA", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no test data in {folder}; set SEEHEAR_TEST_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def tags_engine() -> TagsEngine:
    """The real engine; a skip where its weights are not installed."""
    try:
        return TagsEngine(TagsFiles(default_folder()))
    except ModelError as error:
        pytest.skip(f"{error}")
