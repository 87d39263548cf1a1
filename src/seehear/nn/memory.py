"""Memory of AVMA: learned pairs of a visual and an audio vector."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seehear.nn.pooling import unit

SPREAD = 0.5  # of the initial slots


class AudioVisualMemory(nn.Module):
    """Slots of one visual and one audio vector; frames address slots and recall their sound.

    a_v = softmax(cos(q, m^v) / tau_m);  a_a = softmax(cos(h, m^a) / tau_m);  recall = a_v m^a.

    Source: AVMA (Lee et al., ECCV 2022). Initial N(0, 0.5) and cosines as in the public memory for
    lip reading of the same group, as AVMA does not specify them.
    """

    def __init__(self, dim: int, *, slots: int, temperature: float) -> None:
        super().__init__()
        self.sights = nn.Parameter(SPREAD * torch.randn(slots, dim))  # m^v
        self.sounds = nn.Parameter(SPREAD * torch.randn(slots, dim))  # m^a
        self.temperature = temperature

    def address_by_sight(self, q: Float[Tensor, "*row dim"]) -> Float[Tensor, "*row slot"]:
        """a_v: weights of the slots by similarity of their visual vector to q."""
        return self._address(q, self.sights)

    def address_by_sound(self, h: Float[Tensor, "*row dim"]) -> Float[Tensor, "*row slot"]:
        """a_a: weights of the slots by similarity of their audio vector to h."""
        return self._address(h, self.sounds)

    def recall(self, weights: Float[Tensor, "*row slot"]) -> Float[Tensor, "*row dim"]:
        """Weighted mean of the audio vectors of the slots."""
        return weights @ self.sounds

    def _address(self, x: Tensor, slots: Tensor) -> Tensor:
        cosines = unit(x) @ unit(slots).T
        return (cosines / self.temperature).softmax(-1)


def degree_of_match(
    by_sight: Float[Tensor, "item slot"], by_sound: Float[Tensor, "item slot"]
) -> Float[Tensor, " item"]:
    """Agreement of the slots that sight and sound address: g = cos(a_v, a_a) in [0, 1]."""
    return (unit(by_sight) * unit(by_sound)).sum(-1).clamp(0, 1)
