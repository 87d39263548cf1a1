"""Every command takes s3://BUCKET/PREFIX, and outlives a server that goes away for a while."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

import pytest

from command import seehear
from media.media_clips import GREEN, RED, tone, write_clip
from seaweed import Seaweed, free_ports
from seehear.engine.tags import TagsEngine
from waiting import LIMIT_S, wait_until

AWAY_S = 20.0
Command = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def command(tmp_path: Path, address: str, tags_engine: TagsEngine) -> Iterator[Command]:
    """Start `seehear` with a library on S3; what still runs at the end is ended."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> "subprocess.Popen[str]":
        child = subprocess.Popen(
            [sys.executable, "-m", "seehear", *words],
            cwd=tmp_path,
            env=os.environ | {"SEEHEAR_LIBRARY": address, "COLUMNS": "100", "NO_COLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(child)
        return child

    yield start
    for child in started:
        child.kill()
        child.communicate()


def ended(child: "subprocess.Popen[str]") -> str:
    """What a command that went well said."""
    out, errors = child.communicate(timeout=LIMIT_S)
    assert child.returncode == 0, errors
    return out


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    write_clip(folder / "red.mp4", shots=[(0, RED)], sounds=[tone(4, (1, 2), hz=1000)])
    write_clip(folder / "green.mp4", shots=[(0, GREEN)])
    return folder


def test_every_command_takes_an_address(
    films: Path, address: str, tags_engine: TagsEngine, tmp_path: Path
):
    def run(*words: str) -> str:
        done = seehear(tmp_path, *words, SEEHEAR_LIBRARY=address, COLUMNS="100", NO_COLOR="1")
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "indexed 2 files as 2 moments" in run("index", str(films))
    assert "no new files; 2 files unchanged" in run("index", str(films))
    hits = json.loads(run("search", "a green wall", "--json"))["hits"]
    assert {Path(hit["path"]).name for hit in hits} == {"red.mp4", "green.mp4"}
    status = json.loads(run("status", "--json"))
    assert (status["root"], status["videos"], status["items"]) == (address, 2, 2)
    assert "1" in run("remove", str(films / "red.mp4"))
    assert json.loads(run("status", "--json"))["videos"] == 1
    run("verify", "--full")


def test_a_library_on_s3_is_served(command: Command, films: Path):
    ended(command("index", str(films)))
    (port,) = free_ports(1)
    child = command("serve", "--port", str(port))
    assert asked(f"http://127.0.0.1:{port}/readyz", child) == "tags"
    child.terminate()
    child.communicate(timeout=LIMIT_S)


def asked(url: str, child: "subprocess.Popen[str]") -> str:
    """The answer of a service that is starting."""
    found: list[str] = []

    def is_answered() -> bool:
        assert child.poll() is None, child.communicate()
        with suppress(OSError), urlopen(url, timeout=10) as answer:
            found.append(answer.read().decode())
        return bool(found)

    wait_until(is_answered, url)
    return found[0]


@contextmanager
def away(s3: Seaweed, seconds: float) -> Iterator[None]:
    """The server is gone when the block begins, and back so long after it ended."""
    s3.stop()
    try:
        yield
        time.sleep(seconds)
    finally:
        s3.start()
        s3.wait()


@pytest.mark.slow
def test_a_server_that_goes_away_costs_only_time(
    command: Command, films: Path, s3: Seaweed, tags_engine: TagsEngine
):
    """In the middle of an ingest and of a search; nothing is lost or done twice."""
    ended(command("index", str(films)))
    for number in range(8):
        sounds = [tone(2, (0, 1), hz=300 + 100 * number)]
        shots = [(0, (20 * number, 90, 30))]
        write_clip(films / f"{number}.mp4", seconds=2, shots=shots, sounds=sounds)
    ingest = command("index", str(films), "--workers", "1")
    assert ingest.stderr is not None
    while not ingest.stderr.readline().startswith("plan: 8 new files"):
        assert ingest.poll() is None
    search = command("search", "a dog barking", "--json")
    with away(s3, AWAY_S):
        assert ingest.poll() is None and search.poll() is None
    assert len(json.loads(ended(search))["hits"]) in (2, 10)
    assert "indexed 8 files as 8 moments" in ended(ingest)
    assert "no new files; 10 files unchanged" in ended(command("index", str(films)))
    ended(command("verify", "--full"))
