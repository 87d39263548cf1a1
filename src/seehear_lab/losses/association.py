"""Losses of AVMA: the frames of an item must recall its sound."""

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


class AssociativeModel(Protocol):
    """A model with the memory of AVMA."""

    memory: AudioVisualMemory
    imagine: Any  # recalled sound -> space of the encoded sound
    fit: Any  # projection of both before they are compared

    def mean_address(self, items: TokenBatch) -> Float[Tensor, "item slot"]: ...

    def encode_sound(self, items: TokenBatch) -> Float[Tensor, "item dim"]: ...


def associative_loss(
    model: AssociativeModel, items: TokenBatch, *, temperature: float = 0.1
) -> Float[Tensor, ""]:
    """InfoNCE between recalled and real sound in both directions, plus KL(a_a || a_v).

    `items` come from `encode_items`; items that lack a modality are ignored, and a batch of only
    such items gives 0.

    Source: AVMA, associative learning; tau_l = 0.1 of its supplement, Table 4.
    Differs: the sources specify neither the form nor the KL term (which makes the addresses agree).
    """
    both = items.audio_mask.any(1) & items.frame_mask.any(1)
    if not both.any():
        return model.fit.weight.sum() * 0
    complete = TokenBatch(**{name: values[both] for name, values in vars(items).items()})
    address, sound = model.mean_address(complete), model.encode_sound(complete)
    recalled = model.imagine(model.memory.recall(address))
    left, right = (F.normalize(model.fit(x), dim=-1) for x in (recalled, sound))
    contrast = symmetric_infonce(left @ right.T / temperature, reduction="mean")
    log_address = address.clamp(min=torch.finfo(address.dtype).tiny).log()
    target = model.memory.address_by_sound(sound)
    return contrast + F.kl_div(log_address, target, reduction="batchmean")


def avma_loss(
    model: Any,
    items: TokenBatch,
    logits: Float[Tensor, "batch batch"],
    *,
    margin: float = 0.2,
    temperature: float = 0.1,
) -> Float[Tensor, ""]:
    """Total loss of AVMA: hardest-negative hinge on cosines plus `associative_loss`.

    Source: AVMA; margin 0.2 and tau_l 0.1 of its supplement, Tables 4 and 6.
    """
    cosines = logits / model.logit_scale.detach().exp()
    hinge = hardest_negative_hinge(cosines, margin=margin)
    return hinge + associative_loss(model, items, temperature=temperature)
