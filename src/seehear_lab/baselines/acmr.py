"""ACMR: a common space in which a judge cannot tell the modality (Wang et al., MM 2017)."""

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
    """Sizes and weights of the public demo."""

    hidden: tuple[int, ...] = (512, 100)
    code: int = 40
    label_weight: float = 100.0
    unlike_weight: float = 0.02
    margin: float = 1.0
    batch_size: int = 64
    betas: tuple[float, ...] = (0.5, 0.999)
    epochs: int = 200


class ACMR(DeepSystem):
    """Codes that tell the class, lie near their partner, and hide their modality.

    loss = 100 CE + pair distance + 0.02 hinge on unlike pairs, and the modality judge's CE behind a
    reversed gradient of strength 2 / (1 + e^-10p) - 1, p = share of the epochs done.

    Source: ACMR, sections 3.2-3.4, with squared Euclidean distances as in the paper; the demo's
    distance of unlike pairs sums rows instead. Differs: judge and codes move in the same step, as
    the reversed gradient allows; the demo alternates. Both modalities have the same hidden sizes.
    """

    config: ACMRConfig

    def build(self, x_dim: int, y_dim: int, classes: int) -> None:
        """Networks with tanh, a shared classifier, a judge of modalities."""
        sizes = (*self.config.hidden, self.config.code)
        self.encode_x, self.encode_y = _tanh_net((x_dim, *sizes)), _tanh_net((y_dim, *sizes))
        self.classify = nn.Linear(self.config.code, classes)
        half = self.config.code // 2
        self.judge = nn.Sequential(
            nn.Linear(self.config.code, half),
            nn.ReLU(),
            nn.Linear(half, half // 2),
            nn.ReLU(),
            nn.Linear(half // 2, 2),
        )

    def embed(self, x: Tensor, y: Tensor) -> tuple[Codes, Codes]:
        """The common space."""
        return self.encode_x(x), self.encode_y(y)

    def loss(self, x: Tensor, y: Tensor, labels: Tensor, *, epoch: int) -> Float[Tensor, ""]:
        """The embedding loss and the reversed loss of the judge."""
        f, g = self.embed(x, y)
        both = torch.cat([f, g])
        right = F.cross_entropy(self.classify(both), torch.cat([labels, labels]))
        near, unlike = pair_terms(f, g, labels[:, None] == labels, margin=self.config.margin)
        strength = 2 / (1 + math.exp(-10 * epoch / self.config.epochs)) - 1
        modality = torch.arange(2, device=f.device).repeat_interleave(len(f))
        told = F.cross_entropy(self.judge(_Reversed.apply(both, strength)), modality)
        config = self.config
        return config.label_weight * right + near + config.unlike_weight * unlike + told


def pair_terms(
    f: Codes, g: Codes, same: Bool[Tensor, "pair pair"], *, margin: float
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Mean |f_i - g_i|^2, and mean [margin - |f_i - g_j|^2]_+ over pairs of other classes."""
    squares = torch.cdist(f, g, compute_mode="donot_use_mm_for_euclid_dist").square()
    hinge = F.relu(margin - squares).masked_fill(same, 0)
    return (f - g).square().sum(1).mean(), hinge.sum() / (~same).sum().clamp(min=1)


class _Reversed(torch.autograd.Function):
    """The identity, whose gradient comes back times -strength."""

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
