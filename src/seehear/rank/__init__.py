"""Pure functions on score matrices: inputs stay untouched, higher is better."""

from seehear.rank.topk import best_first, union

__all__ = ["best_first", "union"]
