"""Ingest: find what changed on disk (plan), index it (isolate, index_file), commit it (run)."""

from seehear.ingest.index_file import IndexedFile
from seehear.ingest.isolate import IndexedGroup, Indexer, IsolatedWorker, index_files
from seehear.ingest.plan import NewFile, Plan, absolute_paths, make_plan
from seehear.ingest.run import Progress, Report, reindex, remove_paths, run

__all__ = [
    "IndexedFile",
    "IndexedGroup",
    "Indexer",
    "IsolatedWorker",
    "NewFile",
    "Plan",
    "Progress",
    "Report",
    "absolute_paths",
    "index_files",
    "make_plan",
    "reindex",
    "remove_paths",
    "run",
]
