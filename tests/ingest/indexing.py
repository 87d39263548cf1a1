"""A real `seehear index` in a process of its own, to be stopped at a moment that is waited for."""

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
    """Until so many videos can be searched; the command still runs then."""

    def are_there() -> bool:
        with Store.open(root) as store:
            return store.counts()["videos"] >= count

    wait_until(are_there, f"{count} videos")
    assert child.poll() is None, "it was over before it could be stopped"
