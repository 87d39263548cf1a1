"""DCCA and DCCAE: networks with correlated outputs (Andrew et al., 2013; Wang et al., 2015)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seehear_lab.baselines.deep import DeepConfig, DeepSystem
from seehear_lab.baselines.linear import CCA, LinearConfig
from seehear_lab.class_level.pairs import ClassPairs, Vectors


@dataclass(frozen=True, kw_only=True)
class DCCAConfig(DeepConfig):
    """Settings of DCCA; one batch has all pairs, as the loss needs many more pairs than outputs."""

    hidden: tuple[int, ...] = (512, 512)
    outputs: int = 20
    ridge: float = 1e-3  # r1 and r2
    components: int = 9  # of the linear CCA on the outputs
    batch_size: int = 4096
    lr: float = 1e-3
    epochs: int = 80


@dataclass(frozen=True, kw_only=True)
class DCCAEConfig(DCCAConfig):
    """Settings of DCCAE: DCCA with decoders."""

    reconstruction: float = 0.01


class DCCA(DeepSystem):
    """Deep CCA: two networks with maximally correlated outputs, then a linear CCA.

    loss = -corr(f(x), g(y)).

    Source: Andrew et al., 2013.
    Differs: ReLU and Adam in place of their units and L-BFGS.
    """

    config: DCCAConfig

    def build(self, x_dim: int, y_dim: int, classes: int) -> None:
        """Make two separate networks."""
        sizes = (*self.config.hidden, self.config.outputs)
        self.encode_x, self.encode_y = perceptron((x_dim, *sizes)), perceptron((y_dim, *sizes))

    def embed(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs of the networks, before the linear CCA."""
        return self.encode_x(x), self.encode_y(y)

    def loss(self, x: Tensor, y: Tensor, labels: Tensor, *, epoch: int) -> Float[Tensor, ""]:
        """Minus the sum of canonical correlations."""
        return -total_correlation(*self.embed(x, y), ridge=self.config.ridge)

    def fit(self, train: ClassPairs, unlabelled: ClassPairs) -> Iterator[dict[str, float]]:
        """Train one epoch per state, then fit the linear CCA on the training pairs."""
        for state in super().fit(train, unlabelled):
            config = LinearConfig(ridges=(self.config.ridge,), components=(self.config.components,))
            self.linear = CCA(config)
            outputs = self._outputs(train)
            list(self.linear.fit(outputs, outputs))
            yield state

    def vectors(self, pairs: ClassPairs) -> Vectors:
        """Outputs after the linear CCA."""
        return self.linear.vectors(self._outputs(pairs))

    def _outputs(self, pairs: ClassPairs) -> ClassPairs:
        found = super().vectors(pairs)
        return ClassPairs(x=found.x_query, y=found.y_query, labels=pairs.labels)


class DCCAE(DCCA):
    """DCCA with autoencoders; adds lambda (mean |x - p(f(x))|^2 + mean |y - q(g(y))|^2)."""

    config: DCCAEConfig

    def build(self, x_dim: int, y_dim: int, classes: int) -> None:
        """Make the networks of DCCA and mirrored decoders."""
        super().build(x_dim, y_dim, classes)
        sizes = (self.config.outputs, *reversed(self.config.hidden))
        self.decode_x, self.decode_y = perceptron((*sizes, x_dim)), perceptron((*sizes, y_dim))

    def loss(self, x: Tensor, y: Tensor, labels: Tensor, *, epoch: int) -> Float[Tensor, ""]:
        """Minus the sum of canonical correlations, plus the weighted reconstruction errors."""
        f, g = self.embed(x, y)
        errors = (x - self.decode_x(f)).square().sum(1).mean()
        errors = errors + (y - self.decode_y(g)).square().sum(1).mean()
        correlation = total_correlation(f, g, ridge=self.config.ridge)
        return self.config.reconstruction * errors - correlation


def total_correlation(
    f: Float[Tensor, "pair x_dim"], g: Float[Tensor, "pair y_dim"], *, ridge: float
) -> Float[Tensor, ""]:
    """Sum of canonical correlations: singular values of S_ff^-1/2 S_fg S_gg^-1/2, with ridges.

    Note: whitens with Cholesky factors, L_f^-1 S_fg L_g^-T, which has the same singular values. The
    usual inverse root by eigenvectors has gradients of 1 / (l_i - l_j), NaN for repeated
    eigenvalues. Computes in double precision.
    """
    dtype, n = f.dtype, len(f)
    f, g = f.double(), g.double()
    f, g = f - f.mean(0), g - g.mean(0)
    squares = [v.T @ v / (n - 1) for v in (f, g)]
    low_f, low_g = (torch.linalg.cholesky(s + ridge * torch.eye(len(s)).to(s)) for s in squares)
    half = torch.linalg.solve_triangular(low_f, f.T @ g / (n - 1), upper=False)
    whitened = torch.linalg.solve_triangular(low_g, half.T, upper=False)
    return torch.linalg.svdvals(whitened).sum().to(dtype)


def perceptron(sizes: tuple[int, ...]) -> nn.Sequential:
    """Make linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
