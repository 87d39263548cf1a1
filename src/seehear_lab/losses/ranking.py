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


@torch.no_grad()
def adaptive_margin(
    query: Float[Tensor, "batch dim"],
    item: Float[Tensor, "batch dim"],
    *,
    slope: float = 0.2,
    maximum: float = 0.1,
) -> Float[Tensor, "batch batch"]:
    """What wrong pairs get on top of their score, so that unlike ones must lie further apart.

    m_ij = min(maximum, slope * (1 - (cos(q_i, q_j) + cos(v_i, v_j)) / 2)), 0 for i = j.

    Source: AVIGATE, section 3.4, and its public code; times exp(logit_scale) on logits.
    Note: no gradient; the items are the mean of their frames before any sound came in.
    """
    queries, items = F.normalize(query, dim=-1), F.normalize(item, dim=-1)
    unlike = 1 - (queries @ queries.T + items @ items.T) / 2
    return (slope * unlike).clamp(max=maximum).fill_diagonal_(0)
