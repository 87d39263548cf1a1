"""Query -> candidates (stage 1) -> text-conditioned scores (stage 2) -> hits with reasons."""

from seehear.search.preload import preload_frames
from seehear.search.query import encode
from seehear.search.run import search
from seehear.search.stage1 import Stage1

__all__ = ["Stage1", "encode", "preload_frames", "search"]
