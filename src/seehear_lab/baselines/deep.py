"""Base class of the systems that train a network on batches, and their sampling of pairs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from seehear_lab.class_level.pairs import ClassPairs, Vectors

Batch = tuple[Float[Tensor, "pair x_dim"], Float[Tensor, "pair y_dim"], Int[Tensor, " pair"]]


@dataclass(frozen=True, kw_only=True)
class DeepConfig:
    """Training settings; each system sets the values of its paper."""

    epochs: int = 100
    batch_size: int = 100
    lr: float = 1e-4
    betas: tuple[float, ...] = (0.9, 0.999)
    weighted: bool = False  # sample all classes equally often


class DeepSystem(nn.Module):
    """Networks of two modalities into one space; subclasses override `build`, `embed`, `loss`.

    The global seed of torch applies.
    """

    def __init__(self, config: DeepConfig) -> None:
        super().__init__()
        self.config = config

    def build(self, x_dim: int, y_dim: int, classes: int) -> None:
        """Make the networks for the given sizes."""
        raise TypeError("this system has no 'build'; use a subclass")

    def embed(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Encode both modalities in the common space."""
        raise TypeError("this system has no 'embed'; use a subclass")

    def loss(self, x: Tensor, y: Tensor, labels: Tensor, *, epoch: int) -> Float[Tensor, ""]:
        """Loss of one training step."""
        raise TypeError("this system has no 'loss'; use a subclass")

    def optimiser(self) -> torch.optim.Optimizer:
        """Adam over all parameters."""
        low, high = self.config.betas
        return torch.optim.Adam(self.parameters(), lr=self.config.lr, betas=(low, high))

    def fit(self, train: ClassPairs, unlabelled: ClassPairs) -> Iterator[dict[str, float]]:
        """Train, and yield one state per epoch."""
        self.build(train.x.shape[1], train.y.shape[1], int(train.labels.max()) + 1)
        optimiser = self.optimiser()
        for epoch in range(self.config.epochs):
            yield {"epoch": epoch + 1, "loss": self.run_epoch(train, optimiser, epoch)}

    def run_epoch(self, train: ClassPairs, optimiser: torch.optim.Optimizer, epoch: int) -> float:
        """Train one epoch and return the mean loss."""
        self.train()
        losses = []
        size, weighted = self.config.batch_size, self.config.weighted
        for x, y, labels in batches(train, size, weighted=weighted):
            optimiser.zero_grad(set_to_none=True)
            loss = self.loss(x, y, labels, epoch=epoch)
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        return sum(losses) / len(losses)

    @torch.no_grad()
    def vectors(self, pairs: ClassPairs) -> Vectors:
        """Encode pairs in the common space, in evaluation mode."""
        self.eval()
        x, y = self.embed(torch.from_numpy(pairs.x), torch.from_numpy(pairs.y))
        return Vectors.shared(x.numpy(), y.numpy())


def batches(pairs: ClassPairs, size: int, *, weighted: bool = False) -> Iterator[Batch]:
    """Batches of pairs in random order, or sampled with replacement so that classes are balanced.

    P(pair) ~ 1 / pairs of its class. A last batch of one pair is skipped: BatchNorm needs two.

    Note: uses the global seed of torch; copies one batch at a time.
    """
    labels = torch.from_numpy(pairs.labels)
    x, y = torch.from_numpy(pairs.x), torch.from_numpy(pairs.y)
    order = sample_balanced(labels, len(labels)) if weighted else torch.randperm(len(labels))
    for rows in order.split(size):
        if len(rows) > 1:
            yield x[rows], y[rows], labels[rows]


def sample_balanced(labels: Int[Tensor, " pair"], count: int) -> Int[Tensor, " sample"]:
    """Rows sampled with replacement, with probability ~ 1 / (pairs of the class of the row)."""
    per_class = labels.bincount().clamp(min=1)
    return torch.multinomial(1.0 / per_class[labels].double(), count, replacement=True)
