"""Average precision and mAP against loops, worked examples, and chance."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seehear_lab.class_level import metrics
from seehear_lab.class_level.metrics import average_precision_at, chance, mean_ap, summarise
from seehear_lab.evaluate.ranks import average_precision


def precision_of(order: tuple[int, ...], is_right: np.ndarray) -> float:
    """Average precision of one order, from its definition; 0 where nothing is right."""
    places = [place for place, item in enumerate(order, start=1) if is_right[item]]
    return sum(n / place for n, place in enumerate(places, start=1)) / max(len(places), 1)


def by_loops(scores: np.ndarray, is_right: np.ndarray) -> list[float]:
    """The mean over every order that a search may return: best first, equal scores in any order."""
    found = []
    for row, right in zip(scores, is_right, strict=True):
        orders = permutations(range(len(row)))
        valid = [o for o in orders if all(row[a] >= row[b] for a, b in pairwise(o))]
        found.append(float(np.mean([precision_of(order, right) for order in valid])))
    return found


@given(st.integers(0, 10_000))
def test_ties_count_as_the_mean_over_all_orders(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 3, size=(3, 6)).astype(float)  # many ties
    is_right = rng.integers(0, 4, size=3)[:, None] == rng.integers(0, 3, size=6)  # some have none
    before = scores.copy()
    np.testing.assert_allclose(average_precision(scores, is_right), by_loops(scores, is_right))
    assert (scores == before).all()


def test_the_order_of_items_does_not_change_map_where_scores_tie() -> None:
    vectors, labels = np.ones((4, 2)), np.array([0, 1, 1, 1])
    found = [
        mean_ap(vectors[:1], vectors, (labels[:1], each)).map for each in (labels, labels[::-1])
    ]
    expected = chance(labels[:1], labels).map  # constant vectors rank at random
    assert found == pytest.approx([expected, expected])


def test_a_worked_ranking_and_its_first_places() -> None:
    scores = np.array([[5.0, 4, 3, 2, 1]] * 2)
    is_right = np.array([[True, False, True, False, True], [False] * 5])
    full = (1 + 2 / 3 + 3 / 5) / 3
    np.testing.assert_allclose(average_precision(scores, is_right), [full, 0])
    for k, over, expected in ((2, "hits", 1), (2, "relevant", 1 / 2), (9, "relevant", full)):
        found = average_precision_at(scores, is_right, k, over=over)  # type: ignore[arg-type]
        np.testing.assert_allclose(found, [expected, 0])
    tied = average_precision_at(np.zeros((2, 5)), is_right, 2, over="hits")
    np.testing.assert_allclose(tied, [1, 0])  # the first items come first


def test_classes_have_equal_weight_whatever_their_number_of_queries() -> None:
    found = summarise(np.array([1.0, 1.0, 1.0, 0.2]), np.array([0, 0, 0, 7]))
    assert (found.map, found.class_map) == (pytest.approx(80), pytest.approx(60))


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "dot"])
def test_blocks_and_distances_equal_loops(
    distance: metrics.Distance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "BLOCK", 3)
    rng = np.random.default_rng(1)
    query, gallery = rng.normal(size=(7, 4)), rng.normal(size=(11, 4)) * rng.uniform(1, 3, (11, 1))
    query_labels, item_labels = rng.integers(0, 3, size=7), rng.integers(0, 3, size=11)
    scores = np.zeros((7, 11))
    for q in range(7):
        for i in range(11):
            dot = float(query[q] @ gallery[i])
            scores[q, i] = {
                "dot": dot,
                "cosine": dot / np.linalg.norm(query[q]) / np.linalg.norm(gallery[i]),
                "euclidean": -float(((query[q] - gallery[i]) ** 2).sum()),
            }[distance]
    is_right = query_labels[:, None] == item_labels
    orders = map(tuple, np.argsort(-scores, axis=1))
    precisions = [precision_of(o, right) for o, right in zip(orders, is_right, strict=True)]
    expected = summarise(np.array(precisions), query_labels)
    found = mean_ap(query, gallery, (query_labels, item_labels), distance=distance)
    assert found.map == pytest.approx(expected.map)
    assert found.class_map == pytest.approx(expected.class_map)


def test_chance_is_the_mean_over_random_orders() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), [5, 20, 35])
    is_right = labels[:, None] == labels
    drawn = [average_precision(rng.random((60, 60)), is_right) for _ in range(200)]
    expected = summarise(np.mean(drawn, axis=0), labels)
    found = chance(labels, labels)
    assert found.map == pytest.approx(expected.map, abs=0.5)
    assert found.class_map == pytest.approx(expected.class_map, abs=0.5)
    assert chance(np.array([9]), labels).map == 0  # nothing relevant
    assert chance(np.array([0]), np.array([0])).map == pytest.approx(100)
