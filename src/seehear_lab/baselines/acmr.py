"""ACMR: a common space that hides the modality by adversarial training (Wang et al., MM 2017)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from seehear_lab.baselines.deep import DeepConfig, DeepSystem

Codes = Float[Tensor, "pair code"]


@dataclass(frozen=True, kw_only=True)
class ACMRConfig(DeepConfig):
    """Settings of ACMR; sizes and weights of its public demo."""

    hidden: tuple[int, ...] = (512, 100)
    code: int = 40
    label_weight: float = 100.0
    unlike_weight: float = 0.02
    margin: float = 1.0
    batch_size: int = 64
    betas: tuple[float, ...] = (0.5, 0.999)
    epochs: int = 200


class ACMR(DeepSystem):
    """Codes that predict the class, are near their partner, and hide their modality.

    loss = 100 CE + pair distance + 0.02 hinge on unlike pairs + CE of a modality classifier with a
    reversed gradient of strength 2 / (1 + e^-10p) - 1, p = fraction of the epochs done.

    Source: ACMR, sections 3.2-3.4, with the squared Euclidean distances of the paper (the demo sums
    rows for unlike pairs).
    Differs: codes and modality classifier are updated in one step (the demo alternates); both
    modalities have the same hidden sizes.
    """

    config: ACMRConfig

    def build(self, x_dim: int, y_dim: int, classes: int) -> None:
        """Make tanh networks, a shared classifier and a modality classifier."""
        sizes = (*self.config.hidden, self.config.code)
        self.encode_x, self.encode_y = _tanh_net((x_dim, *sizes)), _tanh_net((y_dim, *sizes))
        self.classify = nn.Linear(self.config.code, classes)
        half = self.config.code // 2
        self.classify_modality = nn.Sequential(
            nn.Linear(self.config.code, half),
            nn.ReLU(),
            nn.Linear(half, half // 2),
            nn.ReLU(),
            nn.Linear(half // 2, 2),
        )

    def embed(self, x: Tensor, y: Tensor) -> tuple[Codes, Codes]:
        """Codes of both modalities in the common space."""
        return self.encode_x(x), self.encode_y(y)

    def loss(self, x: Tensor, y: Tensor, labels: Tensor, *, epoch: int) -> Float[Tensor, ""]:
        """The embedding loss, and the loss of the modality classifier with reversed gradient."""
        f, g = self.embed(x, y)
        both = torch.cat([f, g])
        class_loss = F.cross_entropy(self.classify(both), torch.cat([labels, labels]))
        near, unlike = pair_terms(f, g, labels[:, None] == labels, margin=self.config.margin)
        strength = 2 / (1 + math.exp(-10 * epoch / self.config.epochs)) - 1
        modality = torch.arange(2, device=f.device).repeat_interleave(len(f))
        reversed_codes = _ReverseGradient.apply(both, strength)
        adversarial = F.cross_entropy(self.classify_modality(reversed_codes), modality)
        config = self.config
        embedding = config.label_weight * class_loss + near + config.unlike_weight * unlike
        return embedding + adversarial


def pair_terms(
    f: Codes, g: Codes, same: Bool[Tensor, "pair pair"], *, margin: float
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Mean |f_i - g_i|^2, and mean [margin - |f_i - g_j|^2]_+ over pairs of different classes."""
    squares = torch.cdist(f, g, compute_mode="donot_use_mm_for_euclid_dist").square()
    hinge = F.relu(margin - squares).masked_fill(same, 0)
    return (f - g).square().sum(1).mean(), hinge.sum() / (~same).sum().clamp(min=1)


class _ReverseGradient(torch.autograd.Function):
    """Identity whose gradient is multiplied by -strength."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradients[0], None


def _tanh_net(sizes: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.Tanh()]
    return nn.Sequential(*layers)
