"""What rivals that train on batches share: batches, the loop, vectors in evaluation mode."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from seehear_lab.class_level.pairs import Pairs, Vectors

Batch = tuple[Float[Tensor, "pair x_dim"], Float[Tensor, "pair y_dim"], Int[Tensor, " pair"]]


@dataclass(frozen=True, kw_only=True)
class DeepConfig:
    """How a network is trained; a rival sets its paper's values."""

    epochs: int = 100
    batch_size: int = 100
    lr: float = 1e-4
    betas: tuple[float, ...] = (0.9, 0.999)
    weighted: bool = False  # draw every class as often as any other


class DeepSystem(nn.Module):
    """A network for each modality into one space, trained by `loss`; the seed is torch's own."""

    def __init__(self, config: DeepConfig) -> None:
        super().__init__()
        self.config = config

    def build(self, x_dim: int, y_dim: int, classes: int) -> None:
        """Make the networks, now that sizes are known."""
        raise TypeError("a deep system without 'build'; use one of its subclasses")

    def embed(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Both modalities in the common space."""
        raise TypeError("a deep system without 'embed'; use one of its subclasses")

    def loss(self, x: Tensor, y: Tensor, labels: Tensor, *, epoch: int) -> Float[Tensor, ""]:
        """What one step minimises."""
        raise TypeError("a deep system without 'loss'; use one of its subclasses")

    def optimiser(self) -> torch.optim.Optimizer:
        """Adam over all weights."""
        low, high = self.config.betas
        return torch.optim.Adam(self.parameters(), lr=self.config.lr, betas=(low, high))

    def fit(self, train: Pairs, unlabelled: Pairs) -> Iterator[dict[str, float]]:
        """One state an epoch."""
        self.build(train.x.shape[1], train.y.shape[1], int(train.labels.max()) + 1)
        optimiser = self.optimiser()
        for epoch in range(self.config.epochs):
            yield {"epoch": epoch + 1, "loss": self.run_epoch(train, optimiser, epoch)}

    def run_epoch(self, train: Pairs, optimiser: torch.optim.Optimizer, epoch: int) -> float:
        """One pass over the training pairs; the mean loss."""
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
    def vectors(self, pairs: Pairs) -> Vectors:
        """Both modalities in the common space, in evaluation mode."""
        self.eval()
        x, y = self.embed(torch.from_numpy(pairs.x), torch.from_numpy(pairs.y))
        return Vectors.shared(x.numpy(), y.numpy())


def batches(pairs: Pairs, size: int, *, weighted: bool = False) -> Iterator[Batch]:
    """Pairs in random order, or drawn with replacement so that classes are equally likely.

    P(pair) ~ 1 / pairs of its class. A last batch of one pair is left out: BatchNorm needs two.

    Note: torch's own seed decides; copies one batch at a time.
    """
    labels = torch.from_numpy(pairs.labels)
    x, y = torch.from_numpy(pairs.x), torch.from_numpy(pairs.y)
    order = balanced_draws(labels, len(labels)) if weighted else torch.randperm(len(labels))
    for rows in order.split(size):
        if len(rows) > 1:
            yield x[rows], y[rows], labels[rows]


def balanced_draws(labels: Int[Tensor, " pair"], count: int) -> Int[Tensor, " drawn"]:
    """Rows drawn with replacement, probability 1 / (pairs of the row's class)."""
    per_class = labels.bincount().clamp(min=1)
    return torch.multinomial(1.0 / per_class[labels].double(), count, replacement=True)
