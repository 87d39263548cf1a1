"""A worker that crashes; in its own module, so that Ray workers can import it."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seehear.cluster.work import IndexFiles
from seehear.ingest import IndexedFile, IndexedGroup, NewFile, isolate


class Unlucky(IndexFiles):
    """A worker that is killed once, after it wrote fragments and before it returned them."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        isolate._work = _fall_over

    def index(self, files: Sequence[NewFile]) -> IndexedGroup:
        group = super().index(files)
        mark = Path(files[0].file.path).parents[1] / "killed"
        if group.staged and group.staged.videos and not mark.exists():
            mark.write_text(group.results[0].new.file.path)
            os.kill(os.getpid(), signal.SIGKILL)
        return group


def _fall_over(new: NewFile) -> IndexedFile:
    """Simulate a decoder that crashes on one file."""
    if new.file.path.endswith("3.mp4"):
        os.kill(os.getpid(), signal.SIGKILL)
    return _WORK(new)


_WORK = isolate._work
