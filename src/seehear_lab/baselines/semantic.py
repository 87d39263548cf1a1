"""SM and SCM: modalities compared by their class posteriors (Rasiwasia et al., 2010)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from seehear_lab.baselines.linear import CCA, LinearConfig
from seehear_lab.class_level.pairs import ClassPairs, Vectors, spread


@dataclass(frozen=True, kw_only=True)
class SemanticConfig:
    """Settings of SM; the inverse strength of the penalty is selected on validation."""

    strengths: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1, 0.3)
    correlated: LinearConfig | None = None  # CCA before the regressions, for SCM


@dataclass(frozen=True, kw_only=True)
class SCMConfig(SemanticConfig):
    """Settings of SCM: CCA first, its settings selected on validation too."""

    correlated: LinearConfig | None = field(
        default_factory=lambda: LinearConfig(ridges=(1e-3, 1e-1), components=(7, 9, 15))
    )


class SM:
    """Posteriors of one logistic regression per modality, compared by centred cosine.

    s(x, y) = cos(p(x) - 1/C, p(y) - 1/C). With `correlated`, the regressions take vectors of CCA.

    Source: Rasiwasia et al., 2010, semantic matching and semantic correlation matching.
    """

    def __init__(self, config: SemanticConfig) -> None:
        self.config = config

    def fit(self, train: ClassPairs, unlabelled: ClassPairs) -> Iterator[dict[str, float]]:
        """Fit, and yield one state per strength (and per state of CCA)."""
        from sklearn.linear_model import LogisticRegression

        self.cca = CCA(self.config.correlated) if self.config.correlated else None
        for state in self.cca.fit(train, unlabelled) if self.cca else [{}]:
            self.scales = [(side.mean(0), spread(side)) for side in self._raw(train)]
            for strength in self.config.strengths:
                self.models = [
                    LogisticRegression(C=strength, max_iter=2000).fit(side, train.labels)
                    for side in self._standardise(train)
                ]
                yield {**state, "strength": strength}

    def vectors(self, pairs: ClassPairs) -> Vectors:
        """Centred posteriors of both modalities."""
        sides = zip(self.models, self._standardise(pairs), strict=True)
        x, y = (model.predict_proba(side) for model, side in sides)
        return Vectors.shared(x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True))

    def _raw(self, pairs: ClassPairs) -> tuple[np.ndarray, np.ndarray]:
        if self.cca is None:
            return pairs.x, pairs.y
        found = self.cca.vectors(pairs)
        return found.x_query, found.y_query

    def _standardise(self, pairs: ClassPairs) -> list[np.ndarray]:
        sides = zip(self._raw(pairs), self.scales, strict=True)
        return [(side - mean) / deviation for side, (mean, deviation) in sides]
