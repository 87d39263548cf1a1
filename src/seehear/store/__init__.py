"""Storage of what was indexed: Lance tables in a folder or on S3, and a SQLite journal."""

from seehear.store.backend import backend_for
from seehear.store.backend.journal import FileRow
from seehear.store.backend.protocol import Backend
from seehear.store.read.filters import is_below
from seehear.store.read.snapshot import shard_of
from seehear.store.read.summaries import Summaries, sample_positions
from seehear.store.replica import sync_replica
from seehear.store.store import Store
from seehear.store.write.staging import StagedRows, Staging

__all__ = [
    "Backend",
    "FileRow",
    "StagedRows",
    "Staging",
    "Store",
    "Summaries",
    "backend_for",
    "is_below",
    "sample_positions",
    "shard_of",
    "sync_replica",
]
