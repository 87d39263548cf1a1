"""Hubness corrections on matrices worked by hand, with ties; inputs stay untouched."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from seehear.rank import hubness
from seehear.rank.hubness import (
    LABELS,
    apply_bank,
    dual_softmax,
    inverted_softmax,
    is_hub_answer,
    log_dual_softmax,
    qb_norm,
    summarise_bank,
)

LN2, LN3 = np.log(2.0), np.log(3.0)


def test_inverted_softmax_sums_to_one_over_queries() -> None:
    # columns of exp: (1, 3) -> 1/4, 3/4 and a tie (2, 2) -> 1/2, 1/2
    scores = np.array([[0.0, LN2], [LN3, LN2]])
    shares = np.exp(inverted_softmax(scores, beta=1.0))
    np.testing.assert_allclose(shares, [[0.25, 0.5], [0.75, 0.5]], atol=1e-15)
    # beta = 2: exp gives (1, 9) -> 1/10, 9/10
    shares = np.exp(inverted_softmax(scores, beta=2.0))
    np.testing.assert_allclose(shares, [[0.1, 0.5], [0.9, 0.5]], atol=1e-15)


def test_dual_softmax_moves_a_query_away_from_a_hub() -> None:
    # item 0 is the best of both queries; query 1 keeps it, query 0 moves to item 1
    scores = np.array([[LN2, 0.9 * LN2], [2 * LN2, 0.9 * LN2]])
    # item 0: exp (2, 4) -> 1/3, 2/3; item 1 is tied -> 1/2, 1/2
    expected = [[LN2 / 3, 0.45 * LN2], [4 * LN2 / 3, 0.45 * LN2]]
    ours = dual_softmax(scores, scale=1.0)
    np.testing.assert_allclose(ours, expected, atol=1e-15)
    assert scores.argmax(1).tolist() == [0, 0]
    assert ours.argmax(1).tolist() == [1, 0]


def test_log_dual_softmax_ranks_negative_scores_correctly() -> None:
    # query 0 scores both items below 0, item 1 higher; item 0 scores query 1 far higher
    scores = np.array([[-0.3, -0.2], [0.9, -0.2]])
    assert dual_softmax(scores)[0].argmax() == 0  # the product lifts -0.3 to nearly 0
    assert log_dual_softmax(scores)[0].argmax() == 1


def test_log_dual_softmax_is_the_log_product_of_both_softmaxes() -> None:
    scores = np.array([[0.0, LN3], [LN3, LN3]])  # exp: (1, 3), (3, 3)
    expected = [[0.25 * 0.25, 0.5 * 0.75], [0.75 * 0.5, 0.5 * 0.5]]
    np.testing.assert_allclose(np.exp(log_dual_softmax(scores, scale=1.0)), expected, atol=1e-15)


def test_qb_norm_changes_only_rows_whose_best_item_is_active() -> None:
    bank_scores = np.array([[LN2, 0.0, 0.0], [LN3, LN2, 0.0]])  # item 0 is best for both
    scores = np.array([[3.0, 2.0, 1.0], [1.0, 3.0, 2.0]])
    bank = summarise_bank(bank_scores, beta=1.0, k=1)
    assert bank.active.tolist() == [True, False, False]
    np.testing.assert_allclose(bank.log_z, np.log([5.0, 3.0, 2.0]), atol=1e-15)
    assert is_hub_answer(scores, bank).tolist() == [True, False]
    expected = [scores[0] - np.log([5.0, 3.0, 2.0]), scores[1]]
    np.testing.assert_allclose(apply_bank(scores, bank), expected, atol=1e-15)
    np.testing.assert_allclose(qb_norm(scores, bank_scores, beta=1.0), expected, atol=1e-15)


def test_every_tied_item_counts() -> None:
    bank = summarise_bank(np.array([[0.5, 0.5, 0.1]]), beta=1.0)
    assert bank.active.tolist() == [True, True, False]
    assert summarise_bank(np.array([[0.9, 0.5, 0.5]]), k=2).active.tolist() == [True, True, True]
    tied = np.array([[0.1, 0.7, 0.7], [0.1, 0.6, 0.7]])
    assert is_hub_answer(tied, bank).tolist() == [True, False]
    order = [2, 0, 1]
    np.testing.assert_array_equal(
        qb_norm(tied[:, order], np.array([[0.5, 0.5, 0.1]])[:, order]),
        qb_norm(tied, np.array([[0.5, 0.5, 0.1]]))[:, order],
    )


@pytest.mark.parametrize("k", [0, 4])
def test_k_outside_the_gallery_is_refused(k: int) -> None:
    with pytest.raises(ValueError, match=f"k={k} best of 3 items"):
        summarise_bank(np.zeros((2, 3)), k=k)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4])
def test_nothing_overflows_and_nothing_is_overwritten(size: float) -> None:
    scores = (size * np.random.default_rng(0).standard_normal((6, 4))).astype(np.float32)
    bank_scores = (size * np.random.default_rng(1).standard_normal((9, 4))).astype(np.float32)
    before, bank_before = scores.copy(), bank_scores.copy()
    calls: dict[str, Callable[[], np.ndarray]] = {
        "dual_softmax": lambda: dual_softmax(scores),
        "log_dual_softmax": lambda: log_dual_softmax(scores),
        "inverted_softmax": lambda: inverted_softmax(scores, beta=20.0),
        "qb_norm": lambda: qb_norm(scores, bank_scores),
    }
    assert calls.keys() == LABELS.keys()
    for name, call in calls.items():
        result = call()
        assert result.dtype == np.float64
        assert np.isfinite(result).all(), name
        assert not np.shares_memory(result, scores), name
    np.testing.assert_array_equal(scores, before)
    np.testing.assert_array_equal(bank_scores, bank_before)


def test_every_docstring_states_its_label() -> None:
    for name, label in LABELS.items():
        assert f"({label})" in " ".join((getattr(hubness, name).__doc__ or "").split()), name
    assert "qb_norm" in LABELS
