"""A real `seehear index` in a process of its own, to be stopped at a moment that is waited for."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seehear.store import Store

LIMIT_S = 120.0
SLOWLY = """
import sys, time
import seehear.cli, seehear.ingest
from seehear.store import Store

def put(*arguments, put=Store.put):
    put(*arguments)
    time.sleep(0.2)

sys.modules["seehear.ingest.run"].BATCH_VIDEOS, Store.put = 1, put
seehear.cli.main()
"""  # every film is a batch, and there is time between two of them


@contextmanager
def indexing(films: Path, root: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """The command once it has made its library and its plan; killed at the end if it still runs."""
    command = [sys.executable, "-c", SLOWLY, "index", str(films), "-l", str(root), *words]
    child = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    assert child.stderr is not None
    try:
        while not (line := child.stderr.readline()).startswith(b"plan: "):
            assert line, "the command ended without a plan"
        yield child
    finally:
        child.kill()
        child.wait()
        child.stderr.close()


def wait_for_videos(root: Path, count: int, child: subprocess.Popen[bytes]) -> None:
    """Until so many videos can be searched; the command still runs then."""
    until = time.monotonic() + LIMIT_S
    while time.monotonic() < until:
        with Store.open(root) as store:
            if store.counts()["videos"] >= count:
                assert child.poll() is None, "it was over before it could be stopped"
                return
        time.sleep(0.01)
    raise TimeoutError(f"not {count} videos within {LIMIT_S:.0f} s")
