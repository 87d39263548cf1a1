"""Pure functions on score matrices: inputs stay untouched, higher is better."""

from seehear.rank.hubness import dual_softmax, inverted_softmax, log_dual_softmax, qb_norm
from seehear.rank.topk import best_first, union

__all__ = [
    "best_first",
    "dual_softmax",
    "inverted_softmax",
    "log_dual_softmax",
    "qb_norm",
    "union",
]
