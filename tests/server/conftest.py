"""A live service over real clips: uvicorn on a free port of loopback."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn

from seehear import Library
from seehear.engine.tags import TagsEngine
from seehear.server import Settings, create_app
from waiting import LIMIT_S, wait_until

CLIPS = (
    "pairs/farm_dog.mp4",
    "pairs/farm_cat.mp4",
    "pairs/farm_horse.mp4",
    "contrast/horse__wrong.mp4",
    "contrast/dog__noaudio.mp4",
    "contrast/dog__silent.mp4",
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(library: Library, settings: Settings) -> Iterator[str]:
    """Run the service in a thread; yield its address."""
    config = uvicorn.Config(create_app(library, settings), port=settings.port, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started or not thread.is_alive(), "the service")
    assert server.started
    yield f"http://127.0.0.1:{settings.port}"
    server.should_exit = True
    thread.join(LIMIT_S)


@pytest.fixture(scope="session")
def films(shared_data: Path) -> list[Path]:
    return [shared_data / "media" / name for name in CLIPS]


@pytest.fixture(scope="session")
def library(
    tmp_path_factory: pytest.TempPathFactory, films: list[Path], tags_engine: TagsEngine
) -> Iterator[Library]:
    assert tags_engine
    with Library.create(tmp_path_factory.mktemp("served") / "library") as library:
        library.add(films, workers=1)
        yield library


@pytest.fixture(scope="session")
def url(library: Library, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = Settings(port=free_port(), cache=tmp_path_factory.mktemp("proxies"))
    with serving(library, settings) as address:
        yield address


Serve = Callable[[Library, Settings], object]
