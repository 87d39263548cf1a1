"""A memory of pairs: what a sight looked like, and what it sounded like."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seehear.nn.pooling import unit

SPREAD = 0.5  # of a fresh memory


class AudioVisualMemory(nn.Module):
    """Slots with a sight and a sound each; either addresses the slots, sight recalls sound.

    a_v = softmax(cos(q, m^v) / tau_m);  a_a = softmax(cos(h, m^a) / tau_m);  recall = a_v m^a.

    Source: AVMA (Lee et al., ECCV 2022); start N(0, 0.5) and cosines as in the same group's public
    memory for lip reading, where AVMA's text is silent.
    """

    def __init__(self, dim: int, *, slots: int, temperature: float) -> None:
        super().__init__()
        self.sights = nn.Parameter(SPREAD * torch.randn(slots, dim))  # m^v
        self.sounds = nn.Parameter(SPREAD * torch.randn(slots, dim))  # m^a
        self.temperature = temperature

    def by_sight(self, q: Float[Tensor, "*row dim"]) -> Float[Tensor, "*row slot"]:
        """a_v: shares of the slots that look like q."""
        return self._address(q, self.sights)

    def by_sound(self, h: Float[Tensor, "*row dim"]) -> Float[Tensor, "*row slot"]:
        """a_a: shares of the slots that sound like h."""
        return self._address(h, self.sounds)

    def recall(self, shares: Float[Tensor, "*row slot"]) -> Float[Tensor, "*row dim"]:
        """What the slots sound like."""
        return shares @ self.sounds

    def _address(self, x: Tensor, slots: Tensor) -> Tensor:
        cosines = unit(x) @ unit(slots).T
        return (cosines / self.temperature).softmax(-1)


def degree_of_match(
    by_sight: Float[Tensor, "item slot"], by_sound: Float[Tensor, "item slot"]
) -> Float[Tensor, " item"]:
    """g = cos(a_v, a_a) in [0, 1]: do sight and sound point at the same slots?"""
    return (unit(by_sight) * unit(by_sound)).sum(-1).clamp(0, 1)
