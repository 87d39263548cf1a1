"""Libraries for the tests of the store: in a folder and on S3."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from samples import HEARD, MODEL, SEEN, five

from seehear.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty library in a folder, opened for writing."""
    with Store.create(tmp_path / "library", model=MODEL, seen_dim=SEEN, heard_dim=HEARD) as made:
        yield made


@pytest.fixture
def filled(store: Store) -> Store:
    """The same with five videos and nine items."""
    store.put(five())
    return store


@pytest.fixture
def remote(address: str) -> Iterator[Store]:
    """The same on S3."""
    with Store.create(address, model=MODEL, seen_dim=SEEN, heard_dim=HEARD) as made:
        made.put(five())
        yield made
