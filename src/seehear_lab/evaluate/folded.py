"""Fast exact scores of models with the equations of X-Pool or TEFAL."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from seehear.engine.clip_ast_scores import Scores
from seehear.engine.scoring import pack
from seehear.models.base import RetrievalModel
from seehear.models.tefal import TEFAL
from seehear.models.xpool import XPool
from seehear.nn.tokens import TokenBatch
from seehear_lab.evaluate.matrix import prepare, score_in_torch, score_matrix
from seehear_lab.evaluate.matrix.prepared import MOST_TOKENS

Score = Callable[[Tensor, TokenBatch], Tensor]  # as RetrievalModel.score


def folded(model: RetrievalModel) -> Score | None:
    """`model.score` without a vector per pair, to 1e-6; None for models with other equations.

    The weights are copied: fold again after further training. Dropout is off.
    """
    if type(model).score not in (XPool.score, TEFAL.score):
        return None
    blocks = Scores(model).blocks
    if not blocks:
        return None

    def scored(query: Tensor, items: TokenBatch) -> Tensor:
        if query.device.type != "cpu":
            return score_in_torch(query, items, blocks)
        modalities = (items.frames, items.frame_mask), (items.audio, items.audio_mask)
        tokens = [pack(each.numpy(), mask.numpy()) for each, mask in modalities[: len(blocks)]]
        most_tokens = min(2 * len(query) // 3, MOST_TOKENS)  # fewer queries: pooling is cheaper
        prepared = prepare(blocks, tokens, most_tokens=most_tokens)
        return torch.from_numpy(score_matrix(query.numpy(), prepared))

    return scored
