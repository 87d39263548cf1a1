"""Average precision against loops, worked examples, and chance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seehear_lab.class_level import metrics
from seehear_lab.class_level.metrics import (
    average_precision,
    average_precision_at,
    chance,
    mean_ap,
    ranked_relevance,
    summarise,
)


def brute(scores: np.ndarray, asked: np.ndarray, held: np.ndarray) -> list[float]:
    """AP from its definition; of equal scores the earlier item comes first."""
    found = []
    for row, wanted in zip(scores, asked, strict=True):
        order = sorted(range(len(row)), key=lambda item: (-row[item], item))
        hits, total = 0, 0.0
        for place, item in enumerate(order, start=1):
            if held[item] == wanted:
                hits += 1
                total += hits / place
        found.append(total / hits if hits else 0.0)
    return found


@given(st.integers(0, 10_000))
def test_whole_rankings_equal_loops_with_ties_and_lonely_classes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 4, size=(6, 9)).astype(float)  # many ties
    asked, held = rng.integers(0, 5, size=6), rng.integers(0, 4, size=9)  # class 4 is not held
    before = scores.copy()
    ranked = ranked_relevance(scores, asked[:, None] == held)
    np.testing.assert_allclose(average_precision(ranked), brute(scores, asked, held))
    assert (scores == before).all()


def test_a_worked_ranking_and_its_cuts() -> None:
    ranked = np.array([[True, False, True, False, True], [False] * 5])
    whole = (1 + 2 / 3 + 3 / 5) / 3
    np.testing.assert_allclose(average_precision(ranked), [whole, 0])
    np.testing.assert_allclose(average_precision_at(ranked, 2, over="hits"), [1, 0])
    np.testing.assert_allclose(average_precision_at(ranked, 2, over="relevant"), [1 / 2, 0])
    np.testing.assert_allclose(average_precision_at(ranked, 9, over="relevant"), [whole, 0])


def test_classes_weigh_the_same_however_many_queries_they_have() -> None:
    found = summarise(np.array([1.0, 1.0, 1.0, 0.2]), np.array([0, 0, 0, 7]))
    assert (found.map, found.class_map) == (pytest.approx(80), pytest.approx(60))


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "dot"])
def test_blocks_and_distances_equal_loops(
    distance: metrics.Distance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "BLOCK", 3)
    rng = np.random.default_rng(1)
    query, gallery = rng.normal(size=(7, 4)), rng.normal(size=(11, 4)) * rng.uniform(1, 3, (11, 1))
    asked, held = rng.integers(0, 3, size=7), rng.integers(0, 3, size=11)
    scores = np.zeros((7, 11))
    for q in range(7):
        for i in range(11):
            dot = float(query[q] @ gallery[i])
            scores[q, i] = {
                "dot": dot,
                "cosine": dot / np.linalg.norm(query[q]) / np.linalg.norm(gallery[i]),
                "euclidean": -float(((query[q] - gallery[i]) ** 2).sum()),
            }[distance]
    expected = summarise(np.array(brute(scores, asked, held)), asked)
    found = mean_ap(query, gallery, (asked, held), distance=distance)
    assert found.map == pytest.approx(expected.map)
    assert found.class_map == pytest.approx(expected.class_map)


def test_chance_is_what_random_orders_give() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), [5, 20, 35])
    orders = [labels[rng.permutation(60)] for _ in range(400)]
    drawn = [average_precision(labels[:, None] == order[None]) for order in orders]
    expected = summarise(np.mean(drawn, axis=0), labels)
    found = chance(labels, labels)
    assert found.map == pytest.approx(expected.map, abs=0.5)
    assert found.class_map == pytest.approx(expected.class_map, abs=0.5)
    assert chance(np.array([9]), labels).map == 0  # nothing relevant
    assert chance(np.array([0]), np.array([0])).map == pytest.approx(100)
