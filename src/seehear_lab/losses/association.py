"""What teaches AVMA's memory: sight must recall the sound of its own item."""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from seehear.nn.memory import AudioVisualMemory
from seehear.nn.tokens import TokenBatch
from seehear_lab.losses.infonce import symmetric_infonce
from seehear_lab.losses.ranking import hardest_negative_hinge


class Associating(Protocol):
    """A model with AVMA's memory."""

    memory: AudioVisualMemory
    imagine: Any  # what is recalled -> what is heard
    fit: Any  # the projection of both

    def expected(self, items: TokenBatch) -> Float[Tensor, "item slot"]: ...

    def heard(self, items: TokenBatch) -> Float[Tensor, "item dim"]: ...


def associative_loss(
    model: Associating, items: TokenBatch, *, temperature: float = 0.1
) -> Float[Tensor, ""]:
    """InfoNCE between recalled and actual sound, both ways, plus KL(a_a || a_v).

    `items` are what `encode_items` gives; those that lack a modality take no part, and a batch of
    nothing else gives 0.

    Source: AVMA, associative learning; tau_l = 0.1 of its supplement, Table 4.
    Differs: the sources show neither the form nor the KL term (which has the addresses agree).
    """
    both = items.audio_mask.any(1) & items.frame_mask.any(1)
    if not both.any():
        return model.fit.weight.sum() * 0
    kept = TokenBatch(**{name: values[both] for name, values in vars(items).items()})
    by_sight, heard = model.expected(kept), model.heard(kept)
    recalled = model.imagine(model.memory.recall(by_sight))
    left, right = (F.normalize(model.fit(x), dim=-1) for x in (recalled, heard))
    told_apart = symmetric_infonce(left @ right.T / temperature, reduction="mean")
    log_shares = by_sight.clamp(min=torch.finfo(by_sight.dtype).tiny).log()
    return told_apart + F.kl_div(log_shares, model.memory.by_sound(heard), reduction="batchmean")


def avma_loss(
    model: Any,
    items: TokenBatch,
    logits: Float[Tensor, "batch batch"],
    *,
    margin: float = 0.2,
    temperature: float = 0.1,
) -> Float[Tensor, ""]:
    """All that AVMA minimises: the hardest wrong pair on cosines, and the association.

    Source: AVMA; margin 0.2 and tau_l 0.1 of its supplement, Tables 4 and 6.
    """
    cosines = logits / model.logit_scale.detach().exp()
    hinge = hardest_negative_hinge(cosines, margin=margin)
    return hinge + associative_loss(model, items, temperature=temperature)
