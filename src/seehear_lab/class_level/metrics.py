"""Mean average precision (mAP) in percent, where every item of the query's class is right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from seehear_lab.datasets.batches import chunks
from seehear_lab.evaluate.ranks import average_precision

Distance = Literal["cosine", "euclidean", "dot"]
Rows = Float[np.ndarray, "row dim"]
Labels = Int[np.ndarray, " row"]
BLOCK = 256  # queries scored at a time


@dataclass(frozen=True, kw_only=True)
class MeanAP:
    """The mean over queries (`map`), and the mean over classes of their means (`class_map`)."""

    map: float
    class_map: float


def mean_ap(
    query: Rows, gallery: Rows, labels: tuple[Labels, Labels], *, distance: Distance = "cosine"
) -> MeanAP:
    """mAP of query vectors against gallery vectors; `labels` are those of queries and of items.

    Ties count as the mean over all ways to break them.

    Note: walks queries in blocks; O(query * item log item).
    """
    score = _Scorer(gallery, distance)
    query_labels, item_labels = labels
    precisions = np.concatenate(
        [
            average_precision(score(query[rows]), query_labels[rows, None] == item_labels[None])
            for rows in chunks(len(query), BLOCK)
        ]
    )
    return summarise(precisions, query_labels)


def summarise(precisions: Float[np.ndarray, " query"], labels: Labels) -> MeanAP:
    """Both means, in percent, of the average precision of each query."""
    classes = [precisions[labels == label].mean() for label in np.unique(labels)]
    return MeanAP(map=100 * float(precisions.mean()), class_map=100 * float(np.mean(classes)))


def average_precision_at(
    scores: Float[np.ndarray, "query item"],
    is_right: Bool[np.ndarray, "query item"],
    k: int,
    *,
    over: Literal["hits", "relevant"],
) -> Float[np.ndarray, " query"]:
    """Average precision of the first k items, divided by their hits, or by min(right items, k).

    Equal scores keep the order of the items.

    Note: the public code of DSCMR and ACMR reports over="hits" (k = 50), which ignores the right
    items that were not found. Do not compare it with `mean_ap`.
    """
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    ranked = np.take_along_axis(is_right, order, axis=1)
    hits = np.cumsum(ranked, axis=1)
    sums = np.einsum("qi,qi->q", hits / np.arange(1, ranked.shape[1] + 1), ranked)
    below = hits[:, -1] if over == "hits" else np.minimum(is_right.sum(1), k)
    return sums / np.maximum(below, 1)


def chance(query_labels: Labels, item_labels: Labels) -> MeanAP:
    """Expected mAP of a random order of the gallery.

    E[AP] = (H_N + (R - 1)/(N - 1) (N - H_N)) / N with R of N items right, H_N = sum_k 1/k.
    """
    size = len(item_labels)
    harmonic = float((1 / np.arange(1, size + 1)).sum())
    classes, counts = np.unique(item_labels, return_counts=True)
    right = (query_labels[:, None] == classes[None]) @ counts
    pairs = (right - 1) / max(size - 1, 1)
    expected = np.where(right > 0, (harmonic + pairs * (size - harmonic)) / size, 0.0)
    return summarise(expected, query_labels)


def unit(x: Rows) -> Rows:
    """x / |x|; zero rows stay zero."""
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


class _Scorer:
    """Scores queries against one gallery, whose norms are computed once."""

    def __init__(self, gallery: Rows, distance: Distance) -> None:
        self.distance = distance
        self.gallery = unit(gallery) if distance == "cosine" else gallery
        self.squares = (gallery.astype(np.float64) ** 2).sum(1).astype(gallery.dtype)

    def __call__(self, query: Rows) -> Float[np.ndarray, "query item"]:
        """Higher is better; the norm of the query is left out, as it never changes a ranking."""
        dots = query @ self.gallery.T
        return 2 * dots - self.squares if self.distance == "euclidean" else dots
