"""Exact text-conditioned scores of X-Pool's and TEFAL's blocks without a vector per pair.

block = fold_weights(weights)                                     # once per checkpoint
scores = scan(query, build_index(block, quantise(tokens)))        # all items, one modality
split = modality_scores(query, blocks, tokens)                    # candidates, each modality's part
"""

from seehear.engine.scoring.folded_weights import (
    Affine,
    BlockWeights,
    FoldedBlock,
    fold_queries,
    fold_weights,
    layer_norm_no_affine,
)
from seehear.engine.scoring.gram import ModalityIndex, build_index
from seehear.engine.scoring.scores import modality_scores, scan
from seehear.engine.scoring.tokens import PackedTokens, pack, pack_stored, packed, quantise

__all__ = [
    "Affine",
    "BlockWeights",
    "FoldedBlock",
    "ModalityIndex",
    "PackedTokens",
    "build_index",
    "fold_queries",
    "fold_weights",
    "layer_norm_no_affine",
    "modality_scores",
    "pack",
    "pack_stored",
    "packed",
    "quantise",
    "scan",
]
