"""Ranks and metrics against loops over every way to break ties."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest

from seehear_lab.evaluate.metrics import breakdown, compare, interval, rank, recall, summarise
from seehear_lab.evaluate.ranks import rank_any_target, rank_one_target


def tied_scores(queries: int, items: int, *, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, (queries, items)).astype(float)


def orders(row: np.ndarray) -> list[tuple[int, ...]]:
    """Every order that a search may return: best first, equal scores in any order."""
    return [
        order
        for order in permutations(range(len(row)))
        if all(row[a] >= row[b] for a, b in pairwise(order))
    ]


def by_loops(row: np.ndarray, right: set[int]) -> tuple[float, float, float, float]:
    """Mean, smallest and largest rank of the first right item, and mean average precision."""
    firsts, precisions = [], []
    for order in orders(row):
        places = [place for place, item in enumerate(order, start=1) if item in right]
        firsts.append(places[0])
        precisions.append(np.mean([(n + 1) / place for n, place in enumerate(places)]))
    return float(np.mean(firsts)), min(firsts), max(firsts), float(np.mean(precisions))


@pytest.mark.parametrize("seed", range(4))
def test_one_right_item_equals_the_loop_under_ties(seed: int) -> None:
    scores = tied_scores(5, 6, seed=seed)
    own = np.random.default_rng(seed).integers(0, 6, 5)
    ranks = rank_one_target(scores, own)
    for query, row in enumerate(scores):
        wanted = by_loops(row, {int(own[query])})
        got = (ranks.expected, ranks.optimistic, ranks.pessimistic, ranks.precision)
        assert [float(values[query]) for values in got] == pytest.approx(wanted)


@pytest.mark.parametrize("seed", range(4))
def test_several_right_items_equal_the_loop_under_ties(seed: int) -> None:
    scores, own = tied_scores(3, 7, seed=seed), np.array([0, 0, 1, 2, 1, 0, 2])
    ranks = rank_any_target(scores, own)
    for query, row in enumerate(scores):
        wanted = by_loops(row, set(np.flatnonzero(own == query).tolist()))
        got = (ranks.expected, ranks.optimistic, ranks.pessimistic, ranks.precision)
        assert [float(values[query]) for values in got] == pytest.approx(wanted)


def test_a_constant_matrix_has_mean_ranks() -> None:
    ranks = rank_one_target(np.zeros((5, 5)), np.arange(5))
    assert ranks.has_ties
    metrics = summarise(ranks)
    assert (metrics.r1, metrics.mdr, metrics.mnr) == (0.0, 3.0, 3.0)


def test_metrics_of_a_hand_worked_matrix() -> None:
    scores = np.array([[0.9, 0.1, 0.2], [0.8, 0.3, 0.8], [0.1, 0.2, 0.3]])
    metrics = summarise(rank_one_target(scores, np.arange(3)))  # ranks 1, 3, 1
    assert metrics.r1 == pytest.approx(200 / 3)
    assert (metrics.r5, metrics.r10, metrics.r50) == (100, 100, 100)
    assert (metrics.mdr, metrics.mnr) == (1, pytest.approx(5 / 3))
    assert metrics.rsum == pytest.approx(200 / 3 + 200)
    assert metrics.map == pytest.approx(100 * (1 + 1 / 3 + 1) / 3)


def test_nan_is_an_error_that_names_the_pair() -> None:
    scores = np.eye(3)
    scores[1, 2] = np.nan
    for direction in ("t2v", "v2t_grouped", "v2t_any_caption"):
        with pytest.raises(ValueError, match="NaN"):
            rank(scores, np.arange(3), direction)


def reference_single_sort(scores: np.ndarray) -> np.ndarray:
    """CLIP4Clip and its descendants: the place in the sorted row that equals the diagonal."""
    ordered, own = np.sort(-scores, axis=1), np.diag(-scores)[:, None]
    return np.where(ordered - own == 0)[1] + 1


def reference_double_argsort(scores: np.ndarray) -> np.ndarray:
    """X-Pool: the place of the diagonal in a double argsort."""
    return np.diag(np.argsort(np.argsort(-scores, axis=1), axis=1)) + 1


def reference_grouped(scores: np.ndarray, video_of: np.ndarray) -> np.ndarray:
    """CLIP4Clip's v2t: the best caption of each video first."""
    videos = range(scores.shape[1])
    best = np.array([[scores[video_of == g, v].max() for g in videos] for v in videos])
    return reference_single_sort(best)


def reference_any_caption(scores: np.ndarray, video_of: np.ndarray) -> np.ndarray:
    """Collaborative Experts' v2t: the best place of any own caption."""
    order = np.argsort(-scores.T, axis=1)
    return np.array([np.flatnonzero(video_of[row] == v)[0] + 1 for v, row in enumerate(order)])


def test_four_reference_conventions_without_ties() -> None:
    rng = np.random.default_rng(5)
    square, video_of = rng.random((9, 9)), np.repeat(np.arange(9), 3)
    many, own = rng.random((27, 9)), np.arange(9)
    t2v = rank(square, own, "t2v").expected
    assert (t2v == reference_single_sort(square)).all()
    assert (t2v == reference_double_argsort(square)).all()
    grouped = rank(many, video_of, "v2t_grouped").expected
    assert (grouped == reference_grouped(many, video_of)).all()
    each = rank(many, video_of, "v2t_any_caption").expected
    assert (each == reference_any_caption(many, video_of)).all()
    assert (each >= grouped).all()


def test_grouped_captions_need_a_caption_of_every_video() -> None:
    with pytest.raises(ValueError, match="video 2 has no caption"):
        rank(np.eye(3)[:2], np.array([0, 1]), "v2t_grouped")


def test_breakdown_by_sound() -> None:
    ranks = rank_one_target(np.array([[1.0, 0], [1, 0], [0, 1]]), np.array([0, 1, 1]))
    parts = breakdown(ranks, np.array(["with", "without", "with"]))
    assert (parts["with"].r1, parts["without"].r1) == (100, 0)
    assert parts["without"].queries == 1


def test_interval_contains_the_metric_and_widens_with_groups() -> None:
    scores = np.random.default_rng(0).random((300, 50)) + 0.5 * np.eye(300, 50)
    own = np.minimum(np.arange(300), 49)
    ranks = rank_one_target(scores, own)
    low, high = interval(ranks)
    assert low < recall(ranks, 1) < high
    same = ranks[np.repeat(np.arange(30), 10)]  # ten copies of each query
    lone = interval(same)
    together = interval(same, groups=np.repeat(np.arange(30), 10))
    assert together[1] - together[0] > 2 * (lone[1] - lone[0])


def test_comparison_of_two_runs() -> None:
    rng = np.random.default_rng(1)
    own = np.arange(200)
    weak = rank_one_target(rng.random((200, 200)) + 0.5 * np.eye(200), own)
    strong = rank_one_target(rng.random((200, 200)) + 0.9 * np.eye(200), own)
    better = compare(strong, weak, times=200)
    assert better.low > 0 and better.p < 0.05
    same = compare(weak, weak, times=200)
    assert (same.difference, same.low, same.high, same.p) == (0, 0, 0, 1)
    with pytest.raises(ValueError, match="same queries"):
        compare(strong, weak[np.arange(10)])
