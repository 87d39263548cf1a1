"""What was indexed: Lance tables in a folder or on S3, all or nothing, read in pinned snapshots."""

from seehear.store.copy import keep_copy
from seehear.store.journal import FileRow
from seehear.store.place import Place, backend_for
from seehear.store.snapshot import part_of
from seehear.store.staging import Staged, Staging
from seehear.store.store import Store
from seehear.store.summaries import Summaries, sampled

__all__ = [
    "FileRow",
    "Place",
    "Staged",
    "Staging",
    "Store",
    "Summaries",
    "backend_for",
    "keep_copy",
    "part_of",
    "sampled",
]
