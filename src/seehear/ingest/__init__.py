"""Media -> engine -> store: what changed on disk (plan), and the work that follows (run)."""

from seehear.ingest.plan import Plan, make_plan
from seehear.ingest.run import Progress, Report, run

__all__ = ["Plan", "Progress", "Report", "make_plan", "run"]
