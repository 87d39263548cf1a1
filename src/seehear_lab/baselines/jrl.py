"""JRL: sparse linear maps to labels, smooth on a graph of all items (Zhai et al., TCSVT 2014)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import sparse

from seehear_lab.class_level.pairs import ClassPairs, Vectors, spread

Features = Float[np.ndarray, "item dim"]
Maps = list[np.ndarray]


@dataclass(frozen=True, kw_only=True)
class JRLConfig:
    """Settings of JRL from the code of the paper; sparsity is selected on validation."""

    pair: float = 1.0  # mu
    graph: float = 1.0  # lambda
    sparsities: tuple[float, ...] = (1.0, 10.0, 100.0, 1000.0)  # gamma
    neighbours: int = 100
    rounds: int = 5


class JRL:
    """Maps P_x, P_y to the label space, solved alternately; items compared by class posteriors.

    sum_v |X_v P_v - Y|^2 + mu |X_x P_x - X_y P_y|^2 + lambda sum_v tr((X_v P_v)' L_v X_v P_v)
    + gamma sum_v |P_v|_2,1, L_v the normalised Laplacian of the k nearest neighbours.
    s(a, b) = sum_c p(c|a) p(c|b), p the classes of the nearest training items of both modalities.

    Source: Zhai, Peng, Xiao, 2014.
    Differs: all edges of the graph have weight 1; posteriors count neighbours.
    Note: TRANSDUCTIVE: the graph contains the features of test items (never their labels).
    """

    def __init__(self, config: JRLConfig) -> None:
        self.config = config

    def fit(self, train: ClassPairs, unlabelled: ClassPairs) -> Iterator[dict[str, float]]:
        """Solve, and yield one state per sparsity."""
        self.scales = [(side.mean(0), spread(side)) for side in (train.x, train.y)]
        labelled, others = self._standardise(train), self._standardise(unlabelled)
        one_hot = np.eye(train.labels.max() + 1)[train.labels]
        smooth = [
            smoothness(np.concatenate(sides), self.config.neighbours)
            for sides in zip(labelled, others, strict=True)
        ]
        for sparsity in self.config.sparsities:
            self.maps = self._solve(labelled, one_hot, smooth, sparsity)
            known = [side @ p for side, p in zip(labelled, self.maps, strict=True)]
            self.known = np.concatenate(known), np.concatenate([one_hot, one_hot])
            yield {"sparsity": sparsity}

    def _solve(
        self, views: list[Features], one_hot: np.ndarray, smooth: Maps, sparsity: float
    ) -> Maps:
        config = self.config
        maps = [np.linalg.solve(v.T @ v + np.eye(v.shape[1]), v.T @ one_hot) for v in views]
        for _ in range(config.rounds):
            for at, view in enumerate(views):
                weights = 0.5 / np.maximum(np.linalg.norm(maps[at], axis=1), 1e-8)
                system = (1 + config.pair) * view.T @ view + config.graph * smooth[at]
                partner = views[1 - at] @ maps[1 - at]
                target = view.T @ (one_hot + config.pair * partner)
                maps[at] = np.linalg.solve(system + sparsity * np.diag(weights), target)
        return maps

    def vectors(self, pairs: ClassPairs) -> Vectors:
        """Class posteriors of both modalities; their dot product is the similarity."""
        sides = zip(self._standardise(pairs), self.maps, strict=True)
        x, y = (posteriors(side @ p, *self.known, self.config.neighbours) for side, p in sides)
        return Vectors.shared(x, y)

    def _standardise(self, pairs: ClassPairs) -> list[Features]:
        sides = zip((pairs.x, pairs.y), self.scales, strict=True)
        return [(side.astype(float) - mean) / deviation for side, (mean, deviation) in sides]


def smoothness(items: Features, neighbours: int) -> Float[np.ndarray, "dim dim"]:
    """Smoothness X' L X on the neighbourhood graph of the items.

    L = I - D^-1/2 W D^-1/2;  W_ij = 1 if one is among the nearest of the other.
    """
    nearest = nearest_items(items, items, neighbours + 1)[:, 1:]
    count = len(items)
    rows = np.repeat(np.arange(count), nearest.shape[1])
    edges = sparse.csr_array((np.ones(nearest.size), (rows, nearest.ravel())), (count, count))
    edges = edges.maximum(edges.T)
    scaled = items / np.sqrt(np.maximum(edges.sum(1), 1))[:, None]
    return items.T @ items - scaled.T @ (edges @ scaled)


def posteriors(
    items: Features, known: Features, one_hot: np.ndarray, neighbours: int
) -> Float[np.ndarray, "item label"]:
    """Fraction of each class among the nearest known items."""
    nearest = nearest_items(items, known, neighbours)
    return one_hot[nearest].mean(1)


def nearest_items(items: Features, among: Features, count: int, *, block: int = 1024) -> np.ndarray:
    """Indices of the `count` rows of `among` nearest to each item, nearest first (Euclidean)."""
    squares, found = (among**2).sum(1), []
    for start in range(0, len(items), block):
        away = squares - 2 * items[start : start + block] @ among.T
        found.append(np.argsort(away, axis=1, kind="stable")[:, :count])
    return np.concatenate(found)
