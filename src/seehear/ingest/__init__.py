"""Media -> engine -> store: what changed on disk (plan), and the work that follows (run)."""

from seehear.ingest.plan import NewFile, Plan, is_below, listed, make_plan
from seehear.ingest.run import Progress, Report, drop_paths, reindex, run
from seehear.ingest.work import Indexed, Work, index_all, index_file

__all__ = [
    "Indexed",
    "NewFile",
    "Plan",
    "Progress",
    "Report",
    "Work",
    "drop_paths",
    "index_all",
    "index_file",
    "is_below",
    "listed",
    "make_plan",
    "reindex",
    "run",
]
