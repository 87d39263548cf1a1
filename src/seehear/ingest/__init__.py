"""Media -> engine -> store: what changed on disk (plan), and the work that follows (run)."""

from seehear.ingest.plan import NewFile, Plan, is_below, listed, make_plan
from seehear.ingest.run import Progress, Report, drop_paths, reindex, run
from seehear.ingest.work import Apart, Group, Indexed, Work, index_all

__all__ = [
    "Apart",
    "Group",
    "Indexed",
    "NewFile",
    "Plan",
    "Progress",
    "Report",
    "Work",
    "drop_paths",
    "index_all",
    "is_below",
    "listed",
    "make_plan",
    "reindex",
    "run",
]
