"""What teaches AVMA's memory: sight must recall the sound of its own item."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from seehear.models.avma import AVMA
from seehear.nn.pooling import masked_mean
from seehear.nn.tokens import TokenBatch
from seehear_lab.losses.infonce import symmetric_infonce


def associative_loss(
    model: AVMA, items: TokenBatch, *, temperature: float = 0.1
) -> Float[Tensor, ""]:
    """InfoNCE between recalled and actual sound, both ways, plus KL(a_a || a_v).

    Both sounds go through the model's projection, with frames averaged; items that lack a sense
    take no part, and a batch of nothing else gives 0.

    Source: AVMA, associative learning; tau_l = 0.1 of its supplement, Table 4.
    Differs: the sources show neither the form nor the KL term (which has the addresses agree).
    """
    both = items.audio_mask.any(1) & items.frame_mask.any(1)
    if not both.any():
        return model.project.weight.sum() * 0
    kept = TokenBatch(**{name: values[both] for name, values in vars(items).items()})
    by_sight = masked_mean(model.by_sight(model.watched(kept)), kept.frame_mask)
    recalled, heard = model.imagine(model.memory.recall(by_sight)), model.heard(kept)
    left, right = (F.normalize(model.project(x), dim=-1) for x in (recalled, heard))
    told_apart = symmetric_infonce(left @ right.T / temperature, reduction="mean")
    log_shares = by_sight.clamp(min=torch.finfo(by_sight.dtype).tiny).log()
    return told_apart + F.kl_div(log_shares, model.memory.by_sound(heard), reduction="batchmean")
