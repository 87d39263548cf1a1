"""Every closed form against another way to compute it."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import eig

from class_level.made import made_pairs
from seehear_lab.baselines.linear import CCA, GCCA, MCCA, LinearConfig
from seehear_lab.baselines.mvda import MvDA, MvDAConfig, scatters, view_consistency
from seehear_lab.baselines.semantic import SM, SemanticConfig
from seehear_lab.class_level.metrics import mean_ap
from seehear_lab.class_level.readers import read_set

ONE = LinearConfig(ridges=(0.0,), components=(4,))


def standard(side: np.ndarray) -> np.ndarray:
    side = side.astype(float)
    return (side - side.mean(0)) / side.std(0)


def aligned(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Columns scaled to unit length and the expected sign."""
    found = found / np.linalg.norm(found, axis=0)
    expected = expected / np.linalg.norm(expected, axis=0)
    return found * np.sign((found * expected).sum(0)) - expected


def test_cca_equals_the_iterative_one() -> None:
    from sklearn import cross_decomposition

    pairs = made_pairs()
    system = CCA(ONE)
    assert list(system.fit(pairs, pairs)) == [{"ridge": 0.0, "components": 4}]
    found = system.vectors(pairs)
    other = cross_decomposition.CCA(n_components=4, max_iter=20_000, tol=1e-12).fit(
        pairs.x, pairs.y
    )
    x, y = other.transform(pairs.x, pairs.y)
    assert np.abs(aligned(found.x_query, x)).max() < 1e-4
    assert np.abs(aligned(found.y_query, y)).max() < 1e-4


@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_mcca_of_two_views_equals_cca(ridge: float) -> None:
    pairs, config = made_pairs(), LinearConfig(ridges=(ridge,), components=(4,))
    sides = []
    for system in (CCA(config), MCCA(config)):
        list(system.fit(pairs, pairs))
        sides.append(system.vectors(pairs))
    assert np.abs(aligned(sides[0].x_query, sides[1].x_query)).max() < 1e-4
    assert np.abs(aligned(sides[0].y_query, sides[1].y_query)).max() < 1e-4


@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_gcca_equals_the_matrix_of_pairs_by_pairs(ridge: float) -> None:
    pairs = made_pairs()
    system = GCCA(LinearConfig(ridges=(ridge,), components=(4,)))
    list(system.fit(pairs, pairs))
    found = system.vectors(pairs)
    sides = [standard(pairs.x), standard(pairs.y)]
    n = len(pairs)
    back = [np.linalg.inv(s.T @ s + n * ridge * np.eye(s.shape[1])) @ s.T for s in sides]
    total = sum(side @ inverse for side, inverse in zip(sides, back, strict=True))
    shared = np.linalg.eigh(total)[1][:, ::-1][:, :4]
    for side, inverse, ours in zip(sides, back, (found.x_query, found.y_query), strict=True):
        expected = side @ inverse @ shared
        assert np.abs(aligned(ours, expected)).max() < 1e-4
        scale = np.linalg.norm(ours, axis=0) / np.linalg.norm(expected, axis=0)
        np.testing.assert_allclose(scale, 1, atol=1e-4)


def naive_scatters(views: list[np.ndarray], labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Block by block, class by class, as the paper writes them."""
    n = sum(len(view) for view in views)
    within, between = [], []
    for j, left in enumerate(views):
        within.append([])
        between.append([])
        for r, right in enumerate(views):
            d, e = (np.zeros((left.shape[1], right.shape[1])) for _ in "de")
            sum_j, sum_r = np.zeros(left.shape[1]), np.zeros(right.shape[1])
            for label in np.unique(labels):
                own_j, own_r = left[labels == label], right[labels == label]
                n_i = sum((labels == label).sum() for _ in views)
                weight = len(own_j) * len(own_r) / n_i
                means = np.outer(own_j.mean(0), own_r.mean(0))
                d -= weight * means
                e += weight * means
                sum_j += len(own_j) * own_j.mean(0)
                sum_r += len(own_r) * own_r.mean(0)
            if j == r:
                for row in left:
                    d += np.outer(row, row)
            e -= np.outer(sum_j, sum_r) / n
            within[-1].append(d)
            between[-1].append(e)
    return np.block(within), np.block(between)


def test_mvda_scatters_equal_loops() -> None:
    pairs = made_pairs(41)
    views = [pairs.x.astype(float), pairs.y.astype(float)]  # neither centred nor balanced
    for found, expected in zip(
        scatters(views, pairs.labels), naive_scatters(views, pairs.labels), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("consistency", [0.0, 5.0])
def test_mvda_equals_a_general_eigenvalue_solver(consistency: float) -> None:
    pairs = made_pairs()
    config = MvDAConfig(ridges=(0.01,), components=(3,), consistency=consistency)
    system = MvDA(config)
    list(system.fit(pairs, pairs))
    found = np.vstack(system.weights)
    views = [standard(pairs.x), standard(pairs.y)]
    within, between = naive_scatters(views, pairs.labels)
    within = within / (2 * len(pairs)) + 0.01 * np.eye(12)
    if consistency:
        within = within + consistency * naive_consistency(views)
    values, vectors = eig(between / (2 * len(pairs)), within)
    best = vectors[:, np.argsort(-values.real)[:3]].real
    assert np.abs(aligned(found, best)).max() < 1e-4


def naive_consistency(views: list[np.ndarray]) -> np.ndarray:
    """The quadratic form of 2 |b_1 - b_2|^2, one entry at a time."""
    dims = [view.shape[1] for view in views]
    form = np.zeros((sum(dims),) * 2)

    def dual_distance(w: np.ndarray) -> np.ndarray:
        parts = np.split(w, [dims[0]])
        duals = [
            view @ np.linalg.inv(view.T @ view + 1e-6 * len(view) * np.eye(dim)) @ part
            for view, dim, part in zip(views, dims, parts, strict=True)
        ]
        return duals[0] - duals[1]

    rows = [dual_distance(unit) for unit in np.eye(sum(dims))]
    for i, left in enumerate(rows):
        for j, right in enumerate(rows):
            form[i, j] = 2 * left @ right
    return form


def test_view_consistency_equals_its_definition() -> None:
    pairs = made_pairs()
    views = [standard(pairs.x), standard(pairs.y)]
    np.testing.assert_allclose(view_consistency(views), naive_consistency(views), atol=1e-9)


def test_semantic_matching_compares_centred_posteriors() -> None:
    from sklearn.linear_model import LogisticRegression

    pairs = made_pairs()
    for config in (
        SemanticConfig(strengths=(0.1,)),
        SemanticConfig(strengths=(0.1,), correlated=ONE),
    ):
        system = SM(config)
        states = list(system.fit(pairs, pairs))
        assert len(states) == 1
        found = system.vectors(pairs)
        np.testing.assert_allclose(found.x_query.sum(1), 0, atol=1e-6)
        labels = (pairs.labels, pairs.labels)
        assert mean_ap(found.x_query, found.y_gallery, labels).map > 60
    plain = SM(SemanticConfig(strengths=(0.1,)))
    list(plain.fit(pairs, pairs))
    with warnings.catch_warnings():
        side = standard(pairs.x)
        posterior = (
            LogisticRegression(C=0.1, max_iter=2000).fit(side, pairs.labels).predict_proba(side)
        )
    np.testing.assert_allclose(plain.vectors(pairs).x_query, posterior - 0.25, atol=1e-4)


def test_cca_gives_the_published_map_on_the_features_of_2010(shared_data: Path) -> None:
    """24.9 and 19.6 in Rasiwasia et al. (their CM); 24.2 and 19.7 here, all 693 pairs."""
    data = read_set("wikipedia_sift", shared_data / "data")
    system = CCA(LinearConfig(ridges=(1e-3,), components=(9,)))
    list(system.fit(data.pairs[:2173], data.pairs[2173:]))
    test = data.pairs[2173:]
    found, labels = system.vectors(test), (test.labels, test.labels)
    assert mean_ap(found.x_query, found.y_gallery, labels).map == pytest.approx(24.2, abs=0.5)
    assert mean_ap(found.y_query, found.x_gallery, labels).map == pytest.approx(19.7, abs=0.5)
