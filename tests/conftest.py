"""What tests of several rooms share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

# One thread per process: workers of pytest-xdist and commands that tests start inherit it.
for pool in ("OMP", "OPENBLAS", "MKL", "NUMBA", "RAYON"):
    os.environ[f"{pool}_NUM_THREADS"] = "1"

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

CHECKED = ["seehear.models", "seehear.nn", "seehear.engine.scoring"]
install_import_hook(CHECKED, "shape_check.check")  # shapes in annotations are checked in tests

from no_skips import SHARED, pytest_sessionfinish, pytest_terminal_summary  # noqa: F401
from seaweed import BUCKET, KEYS, Seaweed
from seehear.engine.tags import TagsEngine
from seehear.engine.tags_files import TagsFiles, default_folder
from seehear.errors import ModelError
from seehear.store.tables import lease

settings.register_profile("seehear", deadline=None)  # machines of CI are slow now and then
settings.load_profile("seehear")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the shared clips and data, `SEEHEAR_TEST_DATA` or `../shared`; else a skip."""
    if not SHARED.is_dir():
        pytest.skip(f"no test data in {SHARED}; set SEEHEAR_TEST_DATA to its folder")
    return SHARED


@pytest.fixture(scope="session")
def _seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    server = Seaweed(tmp_path_factory.mktemp("seaweed"))
    server.start()
    try:
        server.wait()
        yield server
    finally:
        server.stop()


@pytest.fixture
def s3(_seaweed: Seaweed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Seaweed:
    """An S3 server named in the environment; a skip where its wheel is not installed.

    A new library there has a short race for its lease, and no request reads the certificates of
    the system: both take most of the time of a small test.
    """
    monkeypatch.setenv("AWS_ENDPOINT_URL", _seaweed.endpoint)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "no certificates"))
    monkeypatch.setattr(lease, "RACERS", 2)
    monkeypatch.setattr(lease, "ROUNDS", 1)
    return _seaweed


_prefixes = count()


@pytest.fixture
def address(s3: Seaweed) -> str:
    """The address of a new library on S3."""
    return f"s3://{BUCKET}/library-{next(_prefixes)}"


@pytest.fixture(scope="session")
def tags_engine() -> TagsEngine:
    """The real engine; a skip where its weights are not installed."""
    try:
        return TagsEngine(TagsFiles(default_folder()))
    except ModelError as error:
        pytest.skip(f"{error}")
