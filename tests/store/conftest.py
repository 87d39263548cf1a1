"""Every kind of store there is, held to the same answers."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from samples import HEARD, MODEL, SEEN, five

from seehear.store import Store


def create_local(folder: Path) -> Store:
    return Store.create(folder / "library", model=MODEL, seen_dim=SEEN, heard_dim=HEARD)


KINDS: dict[str, Callable[[Path], Store]] = {"local": create_local}


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty library, opened for writing."""
    with KINDS[request.param](tmp_path) as made:
        yield made


@pytest.fixture
def filled(store: Store) -> Store:
    """A library with five videos and nine items."""
    store.put(five())
    return store
