"""A worker that bad luck befalls; in a module of its own, so that workers can import it."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seehear.cluster.work import IndexFiles
from seehear.ingest import Group, Indexed, NewFile
from seehear.ingest import work as ingest_work


class Unlucky(IndexFiles):
    """A worker that is killed once, between laying rows down and telling of them."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        ingest_work._work = _fall_over

    def index(self, files: Sequence[NewFile]) -> Group:
        group = super().index(files)
        mark = Path(files[0].file.path).parents[1] / "killed"
        if group.staged and group.staged.videos and not mark.exists():
            mark.write_text(group.results[0].new.file.path)
            os.kill(os.getpid(), signal.SIGKILL)
        return group


def _fall_over(new: NewFile) -> Indexed:
    """Stands in for a decoder that takes its process down, on one file."""
    if new.file.path.endswith("3.mp4"):
        os.kill(os.getpid(), signal.SIGKILL)
    return _WORK(new)


_WORK = ingest_work._work
