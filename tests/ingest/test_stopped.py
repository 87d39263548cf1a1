"""A killed or interrupted ingest keeps committed batches, and its workers end."""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest

from command import seehear
from ingest.indexing import indexing, wait_for_videos
from media.media_clips import tone, write_clip
from seehear import Library
from seehear.engine.tags import TagsEngine
from waiting import LIMIT_S, wait_until

FILMS = 13


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    for number in range(FILMS):
        shots, sounds = [(0, (19 * number, 200 - 9 * number, 77))], [tone(3)] * (number % 2)
        write_clip(folder / f"{number:02}.mp4", shots=shots, seconds=3, fps=5, sounds=sounds)
    return folder


def test_a_killed_ingest_loses_no_committed_batch(
    films: Path, tags_engine: TagsEngine, tmp_path: Path
) -> None:
    """kill -9 before the first commit and after others; each run continues, the last one ends."""
    root = tmp_path / "killed"
    kept: set[str] = set()
    for wanted in (0, 1, 6):
        with indexing(films, root, "--workers", "1") as child:
            wait_for_videos(root, wanted, child)
            time.sleep(random.uniform(0, 0.3))  # during the next batch, or before it
            os.killpg(child.pid, signal.SIGKILL)
        with Library.open(root) as library:
            now = {video.path for video in library.videos()}
        assert kept <= now and wanted <= len(now) < FILMS
        kept = now
    done = seehear(tmp_path, "index", str(films), "-l", str(root), "--workers", "1", "--json")
    assert (done.returncode, json.loads(done.stdout)["indexed"]) == (0, FILMS - len(kept))
    with Library.open(root) as library:
        assert len({video.path for video in library.videos()}) == len(library.videos()) == FILMS
        assert library.verify(full=True) == []


def test_ctrl_c_keeps_committed_batches(
    films: Path, tags_engine: TagsEngine, tmp_path: Path
) -> None:
    root = tmp_path / "interrupted"
    with indexing(films, root) as child:
        wait_for_videos(root, 1, child)
        child.send_signal(signal.SIGINT)
        assert child.wait(LIMIT_S) == 130
        errors = child.stderr.read() if child.stderr else b""
    assert b"interrupted; everything committed stays" in errors
    assert b"Traceback" not in errors
    with Library.open(root) as library:
        first = len(library.videos())
        assert 1 <= first < FILMS
        assert library.add([films]).indexed == FILMS - first
        assert library.verify(full=True) == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads child processes from /proc")
def test_workers_end_with_the_process_that_started_them(
    films: Path, tags_engine: TagsEngine, tmp_path: Path
) -> None:
    with indexing(films, tmp_path / "lib") as child:
        wait_for_videos(tmp_path / "lib", 1, child)
        children = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text()
    workers = [Path(f"/proc/{pid}") for pid in children.split()]
    assert workers
    wait_until(lambda: not any(worker.exists() for worker in workers), "the end of all workers")
