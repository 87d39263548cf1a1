"""CJME and AVGZSLNet: triplet losses around class vectors (Parida 2020; Mazumder 2021)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from seehear_lab.baselines.deep import DeepConfig, DeepSystem

Codes = Float[Tensor, "pair code"]


@dataclass(frozen=True, kw_only=True)
class CJMEConfig(DeepConfig):
    """Settings of CJME."""

    hidden: int = 256
    code: int = 64
    margin: float = 1.0
    lr: float = 1e-3
    epochs: int = 60


@dataclass(frozen=True, kw_only=True)
class AVGZSLNetConfig(CJMEConfig):
    """Settings of AVGZSLNet: optimiser of the public code, smaller batches for small sets."""

    dropout: float = 0.5
    batch_size: int = 256
    lr: float = 0.01
    momentum: float = 0.9


class CJME(DeepSystem):
    """Triplets with the class vector as anchor: its pairs are nearer than those of another class.

    loss = [m + d(t, f) - d(t, f')]_+ + [m + d(t, g) - d(t, g')]_+, d squared Euclidean, t the class
    vector, f, g a pair of that class, f', g' a pair of another one in the batch.

    Source: Parida et al., WACV 2020, section 3.
    Differs: no attention over modalities (a query is one modality); one-hot classes in place of
    word vectors of class names, which the lab does not ship.
    """

    config: CJMEConfig

    def build(self, x_dim: int, y_dim: int, classes: int) -> None:
        """Make one network per modality and one for classes."""
        config, self.classes = self.config, classes
        self.encode_x = self.network(x_dim, config.hidden)
        self.encode_y = self.network(y_dim, config.hidden)
        self.encode_class = nn.Linear(classes, config.code)

    def network(self, dim: int, hidden: int) -> nn.Sequential:
        """Make a network with one hidden layer and ReLU."""
        return nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, self.config.code))

    def embed(self, x: Tensor, y: Tensor) -> tuple[Codes, Codes]:
        """Codes of both modalities in the common space."""
        return self.encode_x(x), self.encode_y(y)

    def loss(self, x: Tensor, y: Tensor, labels: Tensor, *, epoch: int) -> Float[Tensor, ""]:
        """Two triplets per pair."""
        f, g = self.embed(x, y)
        anchor = self.encode_class(self.class_vectors(labels))
        other = other_class(labels)
        margin = self.config.margin
        return triplet(anchor, f, f[other], margin) + triplet(anchor, g, g[other], margin)

    def class_vectors(self, labels: Tensor) -> Tensor:
        """One-hot classes."""
        return F.one_hot(labels, self.classes).float()


class AVGZSLNet(CJME):
    """Triplets with classes and modalities as anchors, and a decoder back to the class vector.

    For m in (f, g): [1 + d(t, m) - d(t, m')]_+ + [1 + d(t, m) - d(t', m)]_+, with t', m' of another
    class; D decodes t, f and g: mean squared error to the class vector w, and
    [1 + d(D t, D m) - d(D t, D m')]_+.

    Source: Mazumder et al., WACV 2021.
    Differs: one-hot classes in place of word vectors, batches of 256 in place of 4096.
    """

    config: AVGZSLNetConfig

    def build(self, x_dim: int, y_dim: int, classes: int) -> None:
        """Make the networks of CJME with dropout, and the decoder."""
        super().build(x_dim, y_dim, classes)
        code = self.config.code
        self.decode = nn.Sequential(
            nn.Linear(code, 2 * code), nn.ReLU(), nn.Linear(2 * code, classes)
        )

    def network(self, dim: int, hidden: int) -> nn.Sequential:
        """Make a network with dropout before its ReLU, as in the public code."""
        return nn.Sequential(
            nn.Linear(dim, hidden),
            nn.Dropout(self.config.dropout),
            nn.ReLU(),
            nn.Linear(hidden, self.config.code),
        )

    def optimiser(self) -> torch.optim.Optimizer:
        """SGD with momentum."""
        return torch.optim.SGD(self.parameters(), lr=self.config.lr, momentum=self.config.momentum)

    def loss(self, x: Tensor, y: Tensor, labels: Tensor, *, epoch: int) -> Float[Tensor, ""]:
        """Composite triplets, reconstruction of the class vector, triplets of decoded vectors."""
        f, g = self.embed(x, y)
        words = self.class_vectors(labels)
        anchor, other, margin = self.encode_class(words), other_class(labels), self.config.margin
        decoded = self.decode(anchor)
        terms = [F.mse_loss(decoded, words)]
        for code in (f, g):
            back = self.decode(code)
            terms += [
                triplet(anchor, code, code[other], margin),
                triplet(code, anchor, anchor[other], margin),
                F.mse_loss(back, words),
                triplet(decoded, back, back[other], margin),
            ]
        return torch.stack(terms).sum()


def triplet(anchor: Codes, own: Codes, other: Codes, margin: float) -> Float[Tensor, ""]:
    """Mean of [margin + |anchor - own|^2 - |anchor - other|^2]_+."""
    near, far = (anchor - own).square().sum(1), (anchor - other).square().sum(1)
    return F.relu(margin + near - far).mean()


def other_class(labels: Tensor) -> Tensor:
    """For each row, the index of a random row of another class; its own if there is none.

    Note: a triplet with the row itself has the constant loss `margin`.
    """
    unlike = (labels[:, None] != labels).double()
    alone = unlike.sum(1) == 0
    unlike[alone, alone.nonzero().flatten()] = 1
    return torch.multinomial(unlike, 1).squeeze(1)
