"""Silence is filled with the library's average; thresholds come from the library itself."""

import numpy as np

from seehear.engine.tags import TagsEngine
from seehear.rank import best_first, union
from seehear.search.calibration import ConfidenceThresholds, as_tokens, calibrate, fill_absent
from seehear.search.query import in_mode
from seehear.store import Summaries, sample_positions
from seehear.types import ModalityScores


def test_fill_gives_the_average_and_leaves_its_input_alone() -> None:
    nan = np.nan
    parts = ModalityScores(
        seen=np.array([[1.0, nan, 3.0]], np.float32), heard=np.array([[nan, 2.0, 4.0]], np.float32)
    )
    filled = fill_absent(parts, parts)
    np.testing.assert_allclose(filled.seen, [[1, 2, 3]])
    np.testing.assert_allclose(filled.heard, [[3, 2, 4]])
    assert np.isnan(parts.seen[0, 1])
    assert np.isnan(parts.heard[0, 0])


def test_fill_is_zero_when_nothing_in_the_library_sounds() -> None:
    parts = ModalityScores(
        seen=np.ones((1, 2), np.float32), heard=np.full((1, 2), np.nan, np.float32)
    )
    np.testing.assert_allclose(fill_absent(parts, parts).heard, 0)


def test_best_first_breaks_ties_by_id_whatever_the_order() -> None:
    scores, ids = np.array([2.0, 5.0, 5.0, 1.0]), ["d", "b", "a", "c"]
    assert [ids[i] for i in best_first(scores, ids, k=3)] == ["a", "b", "d"]
    assert [ids[::-1][i] for i in best_first(scores[::-1], ids[::-1], k=3)] == ["a", "b", "d"]


def test_rounding_does_not_part_equal_items() -> None:
    scores = np.array([1.0, np.nextafter(np.float32(3), np.float32(4)), 3.0, 2.9999], np.float32)
    assert best_first(scores, ["d", "c", "b", "a"], k=4).tolist() == [2, 1, 3, 0]
    assert best_first(np.zeros(0, np.float32), [], k=3).tolist() == []


def test_union_keeps_first_appearance() -> None:
    assert union([["b", "a"], ["c", "b"], []]) == ["b", "a", "c"]


def test_bands_have_two_edges() -> None:
    thresholds = ConfidenceThresholds(fair=1.0, strong=2.0)
    assert [thresholds.of(score) for score in (0.9, 1.0, 2.0)] == ["weak", "fair", "strong"]


def made_summaries(count: int) -> Summaries:
    rng = np.random.default_rng(0)
    return Summaries(
        ids=tuple(f"{i:036d}" for i in range(count)),
        seen=rng.dirichlet(np.full(1000, 0.01), count).astype(np.float32),
        heard=rng.beta(0.05, 2, (count, 521)).astype(np.float32),
        has_frames=np.ones(count, bool),
        has_sound=np.arange(count) % 3 > 0,
    )


def test_calibration_asks_for_more_than_nearly_all_pairs_reach(tags_engine: TagsEngine) -> None:
    background = as_tokens(made_summaries(60))
    query = in_mode(tags_engine.encode_text("a tabby cat"), "seen")
    thresholds = calibrate(tags_engine, background, query)
    parts = tags_engine.score(query, background)
    assert 0 < thresholds.fair < thresholds.strong
    assert (parts.seen >= thresholds.fair).mean() < 0.2


def test_a_sample_is_spread_over_the_library_and_bounded() -> None:
    assert len(sample_positions(700)) == 500
    assert sample_positions(700)[[0, -1]].tolist() == [0, 699]
    assert sample_positions(3).tolist() == [0, 1, 2]
