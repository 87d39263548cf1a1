"""CCA, MCCA and GCCA in closed form: one matrix per view, columns by falling correlation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import block_diag, eigh

from seehear_lab.class_level.pairs import ClassPairs, Vectors, spread

View = Float[np.ndarray, "pair dim"]
Weights = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class LinearConfig:
    """Settings to select on validation; ridges apply to columns of variance 1."""

    ridges: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0)
    components: tuple[int, ...] = (5, 7, 9, 12, 15, 20)


class LinearSystem:
    """Base class of systems of one matrix per view, on standardised columns; override `solve`."""

    def __init__(self, config: LinearConfig) -> None:
        self.config = config

    def solve(self, x: View, y: View, labels: Int[np.ndarray, " pair"], ridge: float) -> Weights:
        """Matrices of both views, for columns of mean 0 and variance 1; best directions first."""
        raise TypeError("this system has no 'solve'; use a subclass")

    def fit(self, train: ClassPairs, unlabelled: ClassPairs) -> Iterator[dict[str, float]]:
        """Solve, and yield one state per ridge and number of components."""
        self.scales = [
            (side.mean(0), spread(side)) for side in (train.x.astype(float), train.y.astype(float))
        ]
        for ridge in self.config.ridges:
            full = self.solve(*self._standardise(train), train.labels, ridge)
            for components in self.config.components:
                self.weights = [weight[:, :components] for weight in full]
                yield {"ridge": ridge, "components": components}

    def vectors(self, pairs: ClassPairs) -> Vectors:
        """Encode both views in the common space."""
        x, y = self._standardise(pairs)
        return Vectors.shared(x @ self.weights[0], y @ self.weights[1])

    def _standardise(self, pairs: ClassPairs) -> tuple[View, View]:
        (x_mean, x_std), (y_mean, y_std) = self.scales
        return (pairs.x - x_mean) / x_std, (pairs.y - y_mean) / y_std


class CCA(LinearSystem):
    """Canonical correlation analysis: max corr(X a, Y b).

    a = S_xx^-1/2 U, b = S_yy^-1/2 V with U s V' = S_xx^-1/2 S_xy S_yy^-1/2, ridges on S_xx, S_yy.

    Source: Hotelling, 1936.
    """

    def solve(self, x: View, y: View, labels: Int[np.ndarray, " pair"], ridge: float) -> Weights:
        """Singular vectors of the covariance of both whitened views."""
        left, right = (_inverse_root(_covariance(v, v, ridge)) for v in (x, y))
        u, _, vt = np.linalg.svd(left @ _covariance(x, y) @ right, full_matrices=False)
        return left @ u, right @ vt.T


class MCCA(LinearSystem):
    """Multiview CCA (SUMCOR): C w = l D w, C the covariances between views, D those within a view.

    Source: Rupnik and Shawe-Taylor, 2010.
    Note: for two views without ridge, the directions are those of CCA.
    """

    def solve(self, x: View, y: View, labels: Int[np.ndarray, " pair"], ridge: float) -> Weights:
        """Eigenvectors of the generalised problem over both views."""
        between = _covariance(x, y)
        within = block_diag(_covariance(x, x, ridge), _covariance(y, y, ridge))
        zero = [np.zeros((v.shape[1],) * 2) for v in (x, y)]
        across = np.block([[zero[0], between], [between.T, zero[1]]])
        return top_directions(across, within, x.shape[1], min(between.shape))


class GCCA(LinearSystem):
    """Generalised CCA (MAXVAR): min sum_v |G - X_v W_v|^2 over G with G'G = I.

    G = top left singular vectors of the stacked [U_1 f_1, U_2 f_2], X_v = U_v s_v V_v' and
    f_v = s_v / sqrt(s_v^2 + n ridge); W_v = (X_v'X_v + n ridge I)^-1 X_v' G.

    Source: Kettenring, 1971.
    Note: never forms a matrix of pairs by pairs, so it handles 80,000 pairs.
    """

    def solve(self, x: View, y: View, labels: Int[np.ndarray, " pair"], ridge: float) -> Weights:
        """Solve with thin singular vectors of each view, stacked."""
        n, bases = len(x), []
        for view in (x, y):
            u, s, _ = np.linalg.svd(view, full_matrices=False)
            bases.append(u * (s / np.sqrt(s**2 + n * ridge + 1e-12)))
        shared, _, _ = np.linalg.svd(np.hstack(bases), full_matrices=False)
        shared = shared[:, : min(x.shape[1], y.shape[1])]
        w_x, w_y = (
            np.linalg.solve(n * _covariance(view, view, ridge), view.T @ shared) for view in (x, y)
        )
        return w_x, w_y


def top_directions(between: np.ndarray, within: np.ndarray, x_dim: int, count: int) -> Weights:
    """The first `count` generalised eigenvectors of (between, within), split by view."""
    size = len(between)
    _, vectors = eigh(between, within, subset_by_index=[size - count, size - 1])
    vectors = vectors[:, ::-1]
    return vectors[:x_dim], vectors[x_dim:]


def _covariance(x: View, y: View, ridge: float = 0.0) -> np.ndarray:
    square = x.T @ y / len(x)
    return square + ridge * np.eye(len(square)) if ridge else square


def _inverse_root(square: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(square)
    return vectors / np.sqrt(np.maximum(values, 1e-10)) @ vectors.T
