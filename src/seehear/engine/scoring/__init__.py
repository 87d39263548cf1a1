"""Exact text-conditioned scores of X-Pool's and TEFAL's blocks without a vector per pair.

block = fold(weights)                                # once per checkpoint
seen = branch(block, quantise(pack(frames, mask)))   # once per token set
scores = score(queries, seen)                        # [query, item]
"""

from seehear.engine.scoring.exact import parts, rescore, score
from seehear.engine.scoring.fold import Affine, Block, BlockWeights, fold, fold_queries, standardise
from seehear.engine.scoring.forms import Branch, Cross, branch, branches, cross, uniform
from seehear.engine.scoring.layouts import merged, time_pooled
from seehear.engine.scoring.tokens import PackedTokens, pack, packed, quantise

__all__ = [
    "Affine",
    "Block",
    "BlockWeights",
    "Branch",
    "Cross",
    "PackedTokens",
    "branch",
    "branches",
    "cross",
    "fold",
    "fold_queries",
    "merged",
    "pack",
    "packed",
    "parts",
    "quantise",
    "rescore",
    "score",
    "standardise",
    "time_pooled",
    "uniform",
]
