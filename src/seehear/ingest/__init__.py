"""Media -> engine -> store: what changed on disk (plan), and the work that follows (run)."""

from seehear.ingest.plan import Plan, is_below, listed, make_plan
from seehear.ingest.run import Progress, Report, drop_paths, reindex, run

__all__ = [
    "Plan",
    "Progress",
    "Report",
    "drop_paths",
    "is_below",
    "listed",
    "make_plan",
    "reindex",
    "run",
]
