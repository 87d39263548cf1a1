"""Margins between a pair and the pairs that it must beat."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def hardest_negative_hinge(
    scores: Float[Tensor, "batch batch"], *, margin: float = 0.2
) -> Float[Tensor, ""]:
    """How far the best wrong item, and the best wrong query, come closer than `margin`.

    1/B sum_i [margin - s_ii + max_{j != i} s_ij]_+ + [margin - s_ii + max_{j != i} s_ji]_+.

    Source: AVMA, margin 0.2 of its supplement, Table 6; the form is VSE++'s (Faghri et al., 2018).
    Note: on cosines, not on logits; a batch of one pair has no negatives and gives 0.
    """
    own = scores.diagonal()
    same = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    wrong = scores.masked_fill(same, -torch.inf)
    by_query = F.relu(margin - own + wrong.amax(1))
    by_item = F.relu(margin - own + wrong.amax(0))
    return (by_query + by_item).mean()
