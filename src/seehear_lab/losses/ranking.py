"""Margin losses between right pairs and wrong pairs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def hardest_negative_hinge(
    scores: Float[Tensor, "batch batch"], *, margin: float = 0.2
) -> Float[Tensor, ""]:
    """Hinge loss on the hardest wrong item and the hardest wrong query of each pair.

    1/B sum_i [margin - s_ii + max_{j != i} s_ij]_+ + [margin - s_ii + max_{j != i} s_ji]_+.

    Source: AVMA, margin 0.2 of its supplement, Table 6; VSE++ (Faghri et al., 2018).
    Note: takes cosines, not logits; a batch of one pair has no negatives and gives 0.
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
    """Margins to add to the scores of wrong pairs, larger for less similar pairs.

    m_ij = min(maximum, slope * (1 - (cos(q_i, q_j) + cos(v_i, v_j)) / 2)), 0 for i = j.

    Source: AVIGATE, section 3.4, and its public code; multiply by exp(logit_scale) for logits.
    Note: no gradient; `item` is the mean of the frames before fusion with sound.
    """
    queries, items = F.normalize(query, dim=-1), F.normalize(item, dim=-1)
    dissimilarity = 1 - (queries @ queries.T + items @ items.T) / 2
    return (slope * dissimilarity).clamp(max=maximum).fill_diagonal_(0)
