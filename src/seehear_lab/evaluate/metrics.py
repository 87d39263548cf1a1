"""Retrieval metrics from scores and ranks, with bootstrap intervals and paired comparisons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from seehear_lab.evaluate.ranks import Ranks, rank_any_target, rank_one_target

Direction = Literal["t2v", "v2t_grouped", "v2t_any_caption"]
Percent = Callable[[Ranks], float]


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """R@K and mAP in percent, ranks from 1; `rsum` is R@1 + R@5 + R@10 of this direction."""

    queries: int
    r1: float
    r5: float
    r10: float
    r50: float
    mdr: float
    mnr: float
    rsum: float
    map: float


def recall(ranks: Ranks, k: int) -> float:
    """R@K in percent: queries whose expected rank is at most k (a tied rank counts as its mean)."""
    return 100 * float((ranks.expected <= k).mean())


def summarise(ranks: Ranks) -> Metrics:
    """All metrics of one direction. Raises: ValueError without queries."""
    if not len(ranks):
        raise ValueError("no query to summarise")
    r1, r5, r10, r50 = (recall(ranks, k) for k in (1, 5, 10, 50))
    return Metrics(
        queries=len(ranks),
        r1=r1,
        r5=r5,
        r10=r10,
        r50=r50,
        mdr=float(np.median(ranks.expected)),
        mnr=float(ranks.expected.mean()),
        rsum=r1 + r5 + r10,
        map=100 * float(ranks.precision.mean()),
    )


def rank(
    scores: Float[np.ndarray, "caption video"],
    video_of: Int[np.ndarray, " caption"],
    direction: Direction,
) -> Ranks:
    """Ranks of scores[caption, video] in one direction; `video_of` is the video of each caption.

    t2v: every caption is a query. v2t_grouped: a video is compared with each video's best caption
    (CLIP4Clip, X-Pool, X-CLIP). v2t_any_caption: the best caption of the video among all single
    captions (Collaborative Experts, QB-Norm), which is much harder.

    Raises: ValueError for a NaN, or for a video without a caption in the v2t directions.
    """
    if direction == "t2v":
        return rank_one_target(scores, video_of)
    if direction == "v2t_any_caption":
        return rank_any_target(scores.T, video_of)
    videos = np.arange(scores.shape[1])
    has_caption = np.isin(videos, video_of)
    if not has_caption.all():
        raise ValueError(f"video {int(has_caption.argmin())} has no caption; leave it out for v2t")
    if np.isnan(scores).any():
        return rank_one_target(scores, video_of)  # raises, naming the pair
    best = np.full((len(videos), len(videos)), -np.inf)  # [caption group, video]
    np.maximum.at(best, video_of, scores)
    return rank_one_target(best.T, videos)


def breakdown(ranks: Ranks, labels: np.ndarray) -> Mapping[str, Metrics]:
    """Metrics of the queries under each label, e.g. with and without sound."""
    return {str(label): summarise(ranks[labels == label]) for label in np.unique(labels)}


def interval(
    ranks: Ranks,
    metric: Percent = lambda ranks: recall(ranks, 1),
    *,
    groups: Int[np.ndarray, " query"] | None = None,
    times: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % bootstrap interval (percentiles) of a metric over queries.

    `groups`, e.g. the video of each caption, resamples groups instead of queries: captions of one
    video are not independent.
    """
    draws = _resample(len(ranks), groups, times, seed)
    low, high = np.percentile([metric(ranks[rows]) for rows in draws], [2.5, 97.5])
    return float(low), float(high)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Run a minus run b on the same queries: difference, 95 % interval, two-sided p."""

    difference: float
    low: float
    high: float
    p: float


def compare(
    a: Ranks,
    b: Ranks,
    metric: Percent = lambda ranks: recall(ranks, 1),
    *,
    groups: Int[np.ndarray, " query"] | None = None,
    times: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Paired bootstrap of metric(a) - metric(b); p from random swaps of a and b, group by group.

    Raises: ValueError if the numbers of queries differ.
    """
    if len(a) != len(b):
        raise ValueError(
            f"the runs have {len(a)} and {len(b)} queries; compare runs on the same queries"
        )
    difference = metric(a) - metric(b)
    draws = _resample(len(a), groups, times, seed)
    low, high = np.percentile([metric(a[rows]) - metric(b[rows]) for rows in draws], [2.5, 97.5])
    rng = np.random.default_rng(seed)
    group = np.arange(len(a)) if groups is None else np.unique(groups, return_inverse=True)[1]
    swapped = [_swap(a, b, (rng.random(group.max() + 1) < 0.5)[group]) for _ in range(times)]
    by_chance = np.array([metric(x) - metric(y) for x, y in swapped])
    extreme = int((np.abs(by_chance) >= abs(difference) - 1e-9).sum())
    return Comparison(
        difference=difference, low=float(low), high=float(high), p=(extreme + 1) / (times + 1)
    )


def _swap(a: Ranks, b: Ranks, is_swapped: np.ndarray) -> tuple[Ranks, Ranks]:
    def mix(x: Ranks, y: Ranks) -> Ranks:
        return Ranks(**{k: np.where(is_swapped, vars(y)[k], v) for k, v in vars(x).items()})

    return mix(a, b), mix(b, a)


def _resample(
    count: int, groups: Int[np.ndarray, " query"] | None, times: int, seed: int
) -> list[Int[np.ndarray, " sample"]]:
    rng = np.random.default_rng(seed)
    if groups is None:
        return [rng.integers(count, size=count) for _ in range(times)]
    _, inverse = np.unique(groups, return_inverse=True)
    members = [np.flatnonzero(inverse == group) for group in range(inverse.max() + 1)]
    return [
        np.concatenate([members[g] for g in rng.integers(len(members), size=len(members))])
        for _ in range(times)
    ]
