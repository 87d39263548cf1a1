"""Train DSTC in its two steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from seehear.models import build_model
from seehear.models.dstc import DSTC
from seehear_lab.baselines.deep import batches
from seehear_lab.class_level.pairs import ClassPairs, Vectors
from seehear_lab.losses.transitive import (
    Distance,
    Reduction,
    TransitiveWeights,
    transitive_losses,
    weighted_sum,
)


@dataclass(frozen=True, kw_only=True)
class TwoStepConfig:
    """Settings of DSTC; the paper gives neither epochs nor batch sizes.

    `freeze_classifier` is our reading of the paper's learning rate of 1e-10 after step 1: it
    applies to the classifiers only. With `lr_step2` 1e-10 for everything, the translators never
    train and retrieval stays at chance.
    """

    x_layers: tuple[int, ...] = (256, 256)  # sizes after the features
    y_layers: tuple[int, ...] = (512, 256)
    translator: tuple[int, ...] = (128, 64, 128)
    weights: TransitiveWeights = field(default_factory=TransitiveWeights)
    distance: Distance = "euclidean"
    pc_reduction: Reduction = "mean"
    epochs_step1: int = 8
    epochs_step2: int = 60
    batch_size: int = 100
    lr: float = 1e-4
    lr_step2: float = 1e-4
    freeze_classifier: bool = True
    weighted: bool = False  # sample all classes equally often: AudioSetZSL
    query_translation: bool = False  # translate the query instead of the gallery


class TwoStep:
    """DSTC. Step 1 trains encoders and classifiers; step 2 freezes classifiers, uses all losses.

    Source: DSTC, section 3.2.
    """

    def __init__(self, config: TwoStepConfig) -> None:
        self.config = config

    def fit(self, train: ClassPairs, unlabelled: ClassPairs) -> Iterator[dict[str, float]]:
        """Train; yield the mean losses after every epoch of step 2."""
        config = self.config
        self.model = self._build(train)
        only_ce = TransitiveWeights(pc=0, dstc=0, cpc=0, cdstc=0)
        optimiser = torch.optim.Adam(self.model.parameters(), lr=config.lr)
        for _ in range(config.epochs_step1):
            self._epoch(train, only_ce, optimiser)
        if config.freeze_classifier:
            self.model.classify_x.requires_grad_(False)
            self.model.classify_y.requires_grad_(False)
        trainable = [weight for weight in self.model.parameters() if weight.requires_grad]
        optimiser = torch.optim.Adam(trainable, lr=config.lr_step2)
        for epoch in range(config.epochs_step2):
            yield {"epoch": epoch + 1, **self._epoch(train, config.weights, optimiser)}

    def vectors(self, pairs: ClassPairs) -> Vectors:
        """Encode pairs: own and translated vectors of both modalities."""
        model = self.model.eval()
        with torch.no_grad():
            x = model.encode_x(torch.from_numpy(pairs.x))
            y = model.encode_y(torch.from_numpy(pairs.y))
            as_x, as_y = model.to_x(y).numpy(), model.to_y(x).numpy()
        own_x, own_y = x.numpy(), y.numpy()
        if self.config.query_translation:
            return Vectors(x_query=as_y, y_gallery=own_y, y_query=as_x, x_gallery=own_x)
        return Vectors(x_query=own_x, y_gallery=as_x, y_query=own_y, x_gallery=as_y)

    def _build(self, train: ClassPairs) -> DSTC:
        config = self.config
        model = build_model(
            "dstc",
            x=(train.x.shape[1], *config.x_layers),
            y=(train.y.shape[1], *config.y_layers),
            translator=config.translator,
            classes=int(train.labels.max()) + 1,
        )
        assert isinstance(model, DSTC)
        model.logit_scale.requires_grad_(False)  # no contrastive loss here
        return model

    def _epoch(
        self, train: ClassPairs, weights: TransitiveWeights, optimiser: torch.optim.Optimizer
    ) -> dict[str, float]:
        """Train for one epoch; return the mean of every loss."""
        self.model.train()
        sums: dict[str, float] = {}
        count = 0
        config = self.config
        for x, y, labels in batches(train, config.batch_size, weighted=config.weighted):
            optimiser.zero_grad(set_to_none=True)
            losses = transitive_losses(
                self.model,
                x,
                y,
                labels,
                weights=weights,
                distance=config.distance,
                reduction=config.pc_reduction,
            )
            weighted_sum(losses, weights).backward()
            optimiser.step()
            count += 1
            for name, loss in losses.items():
                sums[name] = sums.get(name, 0.0) + loss.item()
        return {name: value / count for name, value in sums.items()}
