"""The scores of X-Pool's and TEFAL's equations from folded blocks: the same, much sooner."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from seehear.engine.clip_ast_scores import Scores
from seehear.engine.scoring import branches, pack, score
from seehear.engine.scoring.in_torch import score_in_torch
from seehear.models.base import RetrievalModel
from seehear.models.tefal import TEFAL
from seehear.models.xpool import XPool
from seehear.nn.tokens import TokenBatch

Score = Callable[[Tensor, TokenBatch], Tensor]  # as RetrievalModel.score


def folded(model: RetrievalModel) -> Score | None:
    """`model.score` without a vector per pair, 1e-6 apart; None for models with other equations.

    The weights are read now: a model that is trained further is to be folded again. Dropout is off.
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
        text = query.numpy()
        return torch.from_numpy(score(text, *branches(blocks, tokens, queries=len(text))))

    return scored
