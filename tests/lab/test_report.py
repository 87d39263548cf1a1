"""Results as JSON and text, and run files in TREC's format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seehear.errors import UsageError
from seehear_lab.evaluate.metrics import compare, rank
from seehear_lab.evaluate.report import evaluate_scores, format_result, read_results, write_results
from seehear_lab.evaluate.trec import QRELS, RUN, compare_runs, write_qrels, write_run


class Four:
    """Four items, two captions of each; the last item is silent."""

    item_ids = ("a", "b", "c", "d")
    query_ids = tuple(f"q{at}" for at in range(8))
    target = np.repeat(np.arange(4), 2)
    has_sound = np.array([True, True, True, False])

    def queries(self, rows: slice) -> None: ...

    def media(self, rows: slice) -> None: ...


SCORES = np.random.default_rng(0).random((8, 4)) + 0.3 * np.eye(4)[Four.target]


def test_a_result_has_its_conditions(tmp_path: Path) -> None:
    result = evaluate_scores("x", SCORES, Four(), selected_on="val", about={"seed": 3})
    assert (result.gallery, result.with_sound, result.metrics.queries) == (4, 3, 8)
    assert result.parts["without sound"].queries == 2 and result.parts["with sound"].queries == 6
    low, high = result.r1_interval
    assert low <= result.metrics.r1 <= high
    assert result.optimistic_r1 is None
    tied = evaluate_scores("x", np.ones((8, 4)), Four(), selected_on="test")
    assert (tied.optimistic_r1, tied.metrics.r1, tied.pessimistic_r1) == (100, 0, 0)
    write_results(tmp_path / "r.json", [result, tied])
    assert read_results(tmp_path / "r.json") == [result, tied]


def test_video_to_text_counts_videos() -> None:
    found = evaluate_scores("x", SCORES, Four(), selected_on="val", direction="v2t_any_caption")
    assert found.metrics.queries == 4 and found.parts["without sound"].queries == 1


def write_both(folder: Path, scores: np.ndarray, gallery: Four | None = None) -> None:
    folder.mkdir(exist_ok=True)
    write_run(folder / RUN, scores, gallery or Four(), tag="ours")
    write_qrels(folder / QRELS, gallery or Four())


def test_a_trec_run_gives_the_same_reciprocal_ranks(tmp_path: Path) -> None:
    write_both(tmp_path, SCORES)
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
    metrics = evaluate_scores("x", SCORES, Four(), selected_on="val").metrics
    assert 100 * np.mean(reciprocal) == pytest.approx(metrics.map)


def test_ir_measures_reads_our_files_and_computes_our_metrics(tmp_path: Path) -> None:
    ir_measures = pytest.importorskip("ir_measures")
    write_both(tmp_path, SCORES)
    qrels = list(ir_measures.read_trec_qrels(str(tmp_path / QRELS)))
    run = list(ir_measures.read_trec_run(str(tmp_path / RUN)))
    wanted = {"R@1": "r1", "AP": "map"}
    measures = [ir_measures.parse_measure(name) for name in wanted]
    found = {str(m): v for m, v in ir_measures.calc_aggregate(measures, qrels, run).items()}
    metrics = vars(evaluate_scores("x", SCORES, Four(), selected_on="val").metrics)
    for name, own in wanted.items():
        assert 100 * found[name] == pytest.approx(metrics[own]), name


def test_runs_from_files_compare_as_scores_do(tmp_path: Path) -> None:
    other = np.random.default_rng(1).random((8, 4))
    other[0] = 0.5  # all tied
    write_both(tmp_path / "a", SCORES)
    write_both(tmp_path / "b", other)
    found = compare_runs(tmp_path / "a", tmp_path / "b/run.txt", at=1)
    ranks = [rank(scores, Four.target, "t2v") for scores in (SCORES, other)]
    assert found.gain == compare(*ranks, groups=Four.target)
    assert found.first == evaluate_scores("x", SCORES, Four(), selected_on="val").metrics.r1
    assert found.queries == 8
    write_run(tmp_path / "b/run.txt", other, Four(), tag="short", depth=1)
    cut = compare_runs(tmp_path / "b", tmp_path / "a", at=4)
    assert (cut.first, cut.second) == (100 * np.mean(other.argmax(1) == Four.target), 100)


def test_files_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    write_both(tmp_path, SCORES)
    with pytest.raises(UsageError, match=r"there is no file '.*nothing'"):
        compare_runs(tmp_path, tmp_path / "nothing", at=1)
    lines = (tmp_path / RUN).read_text().splitlines()
    (tmp_path / "less.txt").write_text("\n".join(lines[4:]))
    with pytest.raises(UsageError, match=r"different queries \(7 and 8\)"):
        compare_runs(tmp_path, tmp_path / "less.txt", at=1)
    (tmp_path / "broken.txt").write_text("q0 Q0 a 1 best tag\n")
    with pytest.raises(UsageError, match=r"line 1 of .* does not have the 6 columns"):
        compare_runs(tmp_path, tmp_path / "broken.txt", at=1)


def test_ids_with_blanks_stay_one_column(tmp_path: Path) -> None:
    gallery = Four()
    gallery.item_ids = ("my film.mp4", "b", "c", "100%.mp4")
    gallery.query_ids = tuple(f"my film.mp4#{at}" for at in range(8))
    write_both(tmp_path, SCORES, gallery)
    assert {len(line.split()) for line in (tmp_path / RUN).read_text().splitlines()} == {6}
    assert (tmp_path / QRELS).read_text().splitlines()[0] == "my%20film.mp4#0 0 my%20film.mp4 1"
    same = compare_runs(tmp_path, tmp_path, at=1)
    assert (same.gain.difference, same.gain.p) == (0, 1)


def test_a_result_as_text() -> None:
    about = {"reranked": 2, "stage1_recall": 75.0}
    first, *more = format_result(
        evaluate_scores("x", SCORES, Four(), selected_on="val", about=about)
    )
    assert first.startswith("t2v plain, re-ranked: R@1 ")
    assert first.endswith("gallery 4 (3 with sound), selected on val")
    assert more[0] == "  stage 1: recall 75.0 % (items kept: 2)"
    assert [line.split(":")[0] for line in more[1:]] == ["  with sound", "  without sound"]
    tied = format_result(evaluate_scores("x", np.ones((8, 4)), Four(), selected_on="test"))
    assert tied[1] == "  ties: R@1 0.0 to 100.0"
