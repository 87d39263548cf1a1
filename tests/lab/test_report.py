"""What an evaluation writes down, and what TREC's tools would make of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seehear_lab.evaluate.report import judge, read_results, write_results, write_trec


class Four:
    """Four items, two captions of each; the last item is silent."""

    item_ids = ("a", "b", "c", "d")
    query_ids = tuple(f"q{at}" for at in range(8))
    own = np.repeat(np.arange(4), 2)
    has_sound = np.array([True, True, True, False])

    def queries(self, rows: slice) -> None: ...

    def media(self, rows: slice) -> None: ...


SCORES = np.random.default_rng(0).random((8, 4)) + 0.3 * np.eye(4)[Four.own]


def test_a_result_says_what_it_is_about(tmp_path: Path) -> None:
    result = judge("x", SCORES, Four(), selected_on="val", about={"seed": 3})
    assert (result.gallery, result.with_sound, result.metrics.queries) == (4, 3, 8)
    assert result.parts["silent"].queries == 2 and result.parts["sounding"].queries == 6
    low, high = result.r1_interval
    assert low <= result.metrics.r1 <= high
    assert result.optimistic_r1 is None
    tied = judge("x", np.ones((8, 4)), Four(), selected_on="test")
    assert (tied.optimistic_r1, tied.metrics.r1, tied.pessimistic_r1) == (100, 0, 0)
    write_results(tmp_path / "r.json", [result, tied])
    assert read_results(tmp_path / "r.json") == [result, tied]


def test_directions_count_their_own_queries() -> None:
    found = judge("x", SCORES, Four(), selected_on="val", direction="v2t_any_caption")
    assert found.metrics.queries == 4 and found.parts["silent"].queries == 1


def test_a_trec_run_gives_the_same_reciprocal_ranks(tmp_path: Path) -> None:
    write_trec(tmp_path, SCORES, Four(), tag="ours")
    qrels = [line.split() for line in (tmp_path / "qrels.txt").read_text().splitlines()]
    right = {query: item for query, _, item, grade in qrels if grade == "1"}
    found: dict[str, list[tuple[float, str]]] = {}
    for line in (tmp_path / "run.txt").read_text().splitlines():
        query, q0, item, place, score, tag = line.split()
        assert (q0, tag) == ("Q0", "ours")
        found.setdefault(query, []).append((float(score), item))
        assert int(place) == len(found[query])
    reciprocal = []
    for query, hits in found.items():
        assert hits == sorted(hits, reverse=True)
        reciprocal.append(1 / (1 + [item for _, item in hits].index(right[query])))
    figures = judge("x", SCORES, Four(), selected_on="val").metrics
    assert 100 * np.mean(reciprocal) == pytest.approx(figures.map)
