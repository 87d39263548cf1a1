"""Query -> candidates (stage 1) -> text-conditioned scores (stage 2) -> hits with reasons."""

from seehear.search.query import encode
from seehear.search.run import Stage1, search
from seehear.search.scan import warm

__all__ = ["Stage1", "encode", "search", "warm"]
