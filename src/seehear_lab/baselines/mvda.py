"""MvDA and MvDA-VC: joint discriminant analysis of two views (Kan et al., PAMI 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import block_diag

from seehear_lab.baselines.linear import LinearConfig, LinearSystem, View, Weights, top_directions

Labels = Int[np.ndarray, " pair"]
Square = Float[np.ndarray, "dims dims"]


@dataclass(frozen=True, kw_only=True)
class MvDAConfig(LinearConfig):
    """Settings of MvDA; `consistency` is the weight alpha of view consistency, 0 for none."""

    ridges: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1)
    components: tuple[int, ...] = (9,)  # classes - 1
    consistency: float = 0.0


@dataclass(frozen=True, kw_only=True)
class MvDAVCConfig(MvDAConfig):
    """Settings of MvDA-VC: MvDA with view consistency."""

    consistency: float = 1.0


class MvDA(LinearSystem):
    """Directions per view that separate the classes of all projections together.

    E w = l (D + ridge I) w; blocks for views j, r; n_ij items of class i in view j, mean m_ij:
    D_jr = [j = r] sum x x' - sum_i n_ij n_ir / n_i m_ij m_ir'
    E_jr = sum_i n_ij n_ir / n_i m_ij m_ir' - (1/n) (sum_i n_ij m_ij)(sum_i n_ir m_ir)'
    With `consistency` alpha, D gains alpha sum_{j<r} 2 |b_j - b_r|^2, b_v = (X_v'X_v)^-1 X_v' w_v
    in its dual form: w_v = X_v' b_v.

    Source: Kan et al., section 3.
    Note: scatters are divided by the number of items, so a ridge does not depend on it.
    """

    config: MvDAConfig

    def solve(self, x: View, y: View, labels: Labels, ridge: float) -> Weights:
        """Eigenvectors of the generalised problem of between and within scatter."""
        within, between = scatters((x, y), labels)
        size = 2 * len(x)
        within = within / size + ridge * np.eye(len(within))
        if self.config.consistency:
            within = within + self.config.consistency * view_consistency((x, y))
        return top_directions(between / size, within, x.shape[1], max(self.config.components))


def scatters(views: Sequence[View], labels: Labels) -> tuple[Square, Square]:
    """Within and between scatter of the jointly projected views: D and E of `MvDA`."""
    classes, counts = np.unique(labels, return_counts=True)
    sums = np.hstack([[view[labels == c].sum(0) for c in classes] for view in views])
    # n_ij m_ij = sums, n_i = views n_ij
    of_class = (sums / (len(views) * counts)[:, None]).T @ sums
    total = sums.sum(0)
    between = of_class - np.outer(total, total) / (len(views) * len(labels))
    return block_diag(*(view.T @ view for view in views)) - of_class, between


def view_consistency(views: Sequence[View], *, floor: float = 1e-6) -> Square:
    """Quadratic form 2 |b_1 - b_2|^2 of (w_1, w_2), b_v = X_v (X_v'X_v)^-1 w_v.

    Note: never forms a matrix of pairs by pairs; `floor` times n regularises the inverse.
    """
    duals = [
        view @ np.linalg.inv(view.T @ view + floor * len(view) * np.eye(view.shape[1]))
        for view in views
    ]
    joint = np.hstack([duals[0], -duals[1]])
    return 2 * joint.T @ joint
