"""DSCMR: a shared label space and a shared common space (Zhen et al., CVPR 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from seehear_lab.baselines.deep import DeepConfig, DeepSystem

Codes = Float[Tensor, "pair code"]


@dataclass(frozen=True, kw_only=True)
class DSCMRConfig(DeepConfig):
    """Settings of the paper for image-text; for AudioSetZSL, the DSTC paper uses other sizes."""

    x_hidden: int = 2048
    y_hidden: int = 2048
    code: int = 1024
    share: bool = True  # the second layer; needs equal hidden sizes
    alpha: float = 1e-3
    beta: float = 1e-1
    epochs: int = 500
    betas: tuple[float, ...] = (0.5, 0.999)


class DSCMR(DeepSystem):
    """Two encoders that share their last layer and a linear classifier.

    f = W ReLU(W_x x), g = W ReLU(W_y y), classes P f and P g; W and P are shared.

    Source: DSCMR and its public code.
    Differs: pairs are shuffled (the code keeps their order).
    """

    config: DSCMRConfig

    def build(self, x_dim: int, y_dim: int, classes: int) -> None:
        """Make a hidden layer per modality, and the shared layers."""
        config = self.config
        self.hidden_x = nn.Linear(x_dim, config.x_hidden)
        self.hidden_y = nn.Linear(y_dim, config.y_hidden)
        self.code_x = nn.Linear(config.x_hidden, config.code)
        self.code_y = self.code_x if config.share else nn.Linear(config.y_hidden, config.code)
        self.classify = nn.Linear(config.code, classes)

    def embed(self, x: Tensor, y: Tensor) -> tuple[Codes, Codes]:
        """Codes of both modalities in the common space."""
        return self.code_x(F.relu(self.hidden_x(x))), self.code_y(F.relu(self.hidden_y(y)))

    def loss(self, x: Tensor, y: Tensor, labels: Tensor, *, epoch: int) -> Float[Tensor, ""]:
        """J1 + alpha J2 + beta J3."""
        f, g = self.embed(x, y)
        one_hot = F.one_hot(labels, self.classify.out_features).to(f.dtype)
        j1, j2, j3 = dscmr_terms(f, g, (self.classify(f), self.classify(g)), one_hot)
        return j1 + self.config.alpha * j2 + self.config.beta * j3


def dscmr_terms(
    f: Codes,
    g: Codes,
    predicted: tuple[Float[Tensor, "pair label"], Float[Tensor, "pair label"]],
    one_hot: Float[Tensor, "pair label"],
) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""]]:
    """The three terms of the loss, J1, J2 and J3.

    J1 = mean |P f - z| + mean |P g - z|
    J2 = sum over (f, f), (f, g), (g, g) of mean_ij log(1 + e^t_ij) - S_ij t_ij, t = cos / 2
    J3 = mean |f - g|;  norms, not squares, as in the code (the paper writes 1/n |.|_F).
    """
    same = (one_hot @ one_hot.T > 0).to(f.dtype)
    j1 = sum(
        (torch.linalg.vector_norm(p - one_hot, dim=1).mean() for p in predicted), f.new_zeros(())
    )
    j2 = sum((_likelihood(a, b, same) for a, b in ((f, f), (f, g), (g, g))), f.new_zeros(()))
    return j1, j2, torch.linalg.vector_norm(f - g, dim=1).mean()


def _likelihood(a: Codes, b: Codes, same: Float[Tensor, "pair pair"]) -> Float[Tensor, ""]:
    lengths = torch.linalg.vector_norm(a, dim=1)[:, None] * torch.linalg.vector_norm(b, dim=1)
    theta = a @ b.T / lengths.clamp(min=1e-6) / 2
    return (F.softplus(theta) - same * theta).mean()
