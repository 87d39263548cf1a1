"""Run `seehear index` as a process, and wait for a state in which to stop it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seehear.store import Store
from waiting import wait_until

SLOWLY = """
import sys, time
import seehear.cli, seehear.ingest
from seehear.store import Store

def put(*arguments, put=Store.put):
    put(*arguments)
    time.sleep(0.2)

sys.modules["seehear.ingest.run"].BATCH_VIDEOS, Store.put = 1, put
seehear.cli.main()
"""  # one film per batch, with a pause between batches


@contextmanager
def indexing(films: Path, root: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start the command and wait for its plan; it is killed at the end of the block."""
    command = [sys.executable, "-c", SLOWLY, "index", str(films), "-l", str(root), *words]
    child = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    assert child.stderr is not None
    try:
        lines = [child.stderr.readline()]
        while not lines[-1].startswith(b"plan: "):
            assert lines[-1], b"".join(lines).decode()
            lines.append(child.stderr.readline())
        yield child
    finally:
        child.kill()
        child.wait()
        child.stderr.close()


def wait_for_videos(root: Path, count: int, child: subprocess.Popen[bytes]) -> None:
    """Wait until `count` videos can be searched while the command is still running."""

    def are_there() -> bool:
        with Store.open(root) as store:
            return store.counts()["videos"] >= count

    wait_until(are_there, f"{count} videos")
    assert child.poll() is None, "the command ended before it could be stopped"
