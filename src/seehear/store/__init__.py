"""What was indexed: Lance tables in a folder, written all or nothing, read in pinned snapshots."""

from seehear.store.journal import FileRow
from seehear.store.store import Store
from seehear.store.summaries import Summaries

__all__ = ["FileRow", "Store", "Summaries"]
