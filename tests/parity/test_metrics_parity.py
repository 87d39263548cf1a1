"""Ranks and metrics against what three public implementations report for the same scores.

Two conventions differ where scores tie. Ours counts R@K for an expected rank <= K, ranks from 1.
QB-Norm counts a mean rank < K, ranks from 0 (for R@1: exactly 0). A query tied over ranks 5 and 6
has the mean 4.5 there and is a hit at 5; its expected rank here is 5.5, no hit. Without ties both
conventions agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from seehear.rank.hubness import qb_norm
from seehear_lab.evaluate.metrics import Direction, rank, summarise
from seehear_lab.evaluate.ranks import Ranks

Load = Callable[[str], dict[str, Any]]
T2V, V2T, V2T_ANY = "t2v", "v2t_grouped", "v2t_any_caption"


def block(file: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {key.removeprefix(prefix): v for key, v in file.items() if key.startswith(prefix)}


def like_qb_norm(ranks: Ranks, out: Mapping[str, Any], way: str) -> None:
    """Figures as QB-Norm counts them, to its one decimal."""
    from_zero = ranks.expected - 1
    recalls = {k: 100 * (from_zero < k).mean() for k in (5, 10, 50)}
    recalls[1] = 100 * (from_zero == 0).mean()
    wanted = {f"R{k}": value for k, value in recalls.items()}
    wanted |= {"MedR": np.median(ranks.expected), "MeanR": ranks.expected.mean()}
    wanted["geometric_mean_R1-R5-R10"] = np.cbrt(recalls[1] * recalls[5] * recalls[10])
    assert {name: float(out[f"qb_{way}_{name}"]) for name in wanted} == pytest.approx(
        wanted, abs=0.0501
    )


def like_ours(ranks: Ranks, out: Mapping[str, Any], *, prefix: str, mdr: str = "MedR") -> None:
    """Figures of CLIP4Clip or X-Pool on untied scores, which are ours."""
    assert not ranks.has_ties
    figures = summarise(ranks)
    found = [figures.r1, figures.r5, figures.r10, figures.mnr]
    expected = [float(out[prefix + name]) for name in ("R1", "R5", "R10", "MeanR")]
    assert found == pytest.approx(expected, rel=1e-6)  # some are float32
    lower_middle = np.sort(ranks.expected)[(len(ranks) - 1) // 2]  # torch's median
    assert float(out[prefix + mdr]) in (figures.mdr, lower_middle)


def every_tied_place(ranks: Ranks) -> list[int]:
    """CLIP4Clip lists each position, from 0, whose score equals that of the right item."""
    spans = zip(ranks.optimistic - 1, ranks.pessimistic, strict=True)
    return [place for first, end in spans for place in range(first, end)]


@pytest.mark.parametrize("case", ["tiefree", "tied", "constant"])
def test_square_matrices_with_and_without_ties(golden: Load, case: str) -> None:
    file = golden("qbnorm")
    scores, out = file[f"in/square_{case}"], block(file, f"out_{case}/")
    ways: dict[str, Direction] = {"t2v": T2V, "v2t": V2T_ANY}
    for way, direction in ways.items():
        ranks = rank(scores, np.arange(len(scores)), direction)
        like_qb_norm(ranks, out, way)
        columns = out["clip4clip_cols" if way == "t2v" else "clip4clip_v2t_cols"]
        assert every_tied_place(ranks) == columns.tolist()
        if case == "tiefree":
            assert (ranks.expected - 1 == out[f"xpool_{way}_ranks0"]).all()
            like_ours(ranks, out, prefix=f"xpool_{way}_")
    ranks = rank(scores, np.arange(len(scores)), T2V)
    assert ranks.has_ties == (case != "tiefree")
    if case == "tiefree":
        like_ours(ranks, out, prefix="clip4clip_", mdr="MedianR")
    else:  # X-Pool's sort breaks ties one way or another
        observed = out["xpool_t2v_ranks0_observed"] + 1
        assert (ranks.optimistic <= observed).all() and (observed <= ranks.pessimistic).all()


@pytest.mark.parametrize("setting", ["raw", "k1", "k2", "k5", "logit", "logit08"])
def test_figures_before_and_after_qb_norm(golden: Load, setting: str) -> None:
    file = golden("qbnorm")
    out, kind = block(file, f"out_{setting}/"), "_logit" if "logit" in setting else ""
    scores = file[f"in/test{kind}"]
    if setting != "raw":
        bank = file[f"in/bank{kind}"]
        scores = qb_norm(scores, bank, beta=float(out["beta"]), k=int(out["k"]))
    like_qb_norm(rank(scores, np.arange(len(scores)), T2V), out, "t2v")


@pytest.mark.parametrize("case", ["multi", "multi_mask"])
def test_several_captions_a_video_as_qb_norm_ranks_them(golden: Load, case: str) -> None:
    file = golden("qbnorm")
    mask = file["in/multi_query_mask"]
    there = np.ones(mask.size, bool) if case == "multi" else mask.ravel() > 0
    video_of = np.repeat(np.arange(len(mask)), mask.shape[1])[there]
    scores, out = file["in/multi_queries"][there], block(file, f"out_{case}/")
    like_qb_norm(rank(scores, video_of, T2V), out, "t2v")
    like_qb_norm(rank(scores, video_of, V2T_ANY), out, "v2t")


@pytest.mark.parametrize(
    ("name", "scores", "prefix"),
    [
        ("qbnorm", "in/c4c_sim_tensor", "out_c4c_multi/"),
        ("xpool", "out_infer/sims", "out_infer/"),
        ("xpool", "in/sims_multi", "out_multi/"),
    ],
)
def test_captions_padded_per_video(golden: Load, name: str, scores: str, prefix: str) -> None:
    """[video caption video]; a missing caption is NaN or -inf."""
    file = golden(name)
    out, padded = block(file, prefix), file[scores].transpose(1, 0, 2)  # captions first, as they do
    there = np.isfinite(padded).all(2)
    if scores == "in/sims_multi":
        assert (there.sum(0) == file["in/sims_multi_count"]).all()
    video_of = np.nonzero(there)[1]
    t2v, v2t = (rank(padded[there], video_of, way) for way in (T2V, V2T))
    if name == "xpool":
        assert (t2v.expected - 1 == out["t2v_ranks0"]).all()
        assert (v2t.expected - 1 == out["v2t_ranks0"]).all()
    else:
        assert (v2t.expected - 1 == out["v2t_cols"]).all()
    median = "MedR" if name == "xpool" else "MedianR"
    like_ours(t2v, out, prefix="t2v_", mdr=median)
    like_ours(v2t, out, prefix="v2t_", mdr=median)


@pytest.mark.parametrize("case", ["tied", "constant"])
def test_recall_of_tied_ranks_follows_two_conventions(golden: Load, case: str) -> None:
    """A mean rank of exactly K - 0.5 from 0 counts for QB-Norm's R@K and not for ours."""
    file = golden("qbnorm")
    scores, out = file[f"in/square_{case}"], block(file, f"out_{case}/")
    ranks = rank(scores, np.arange(len(scores)), T2V)
    between = 100 * float((ranks.expected == 5.5).mean())
    assert float(out["qb_t2v_R5"]) == pytest.approx(summarise(ranks).r5 + between, abs=0.0501)
