"""Pairs of two modalities with a class, their splits, and the scaling of features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, Int

from seehear.errors import UsageError

Scale = Literal["none", "zscore", "published_norms"]
PUBLISHED_NORMS = (25.0, 15.0)  # approximate mean norms of VGG19 fc7 and sentence CNN features
Rows = Int[np.ndarray, " row"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassPairs:
    """Pairs of features: row i of x and row i of y belong together, and to class labels[i]."""

    x: Float32[np.ndarray, "pair x_dim"]
    y: Float32[np.ndarray, "pair y_dim"]
    labels: Int[np.ndarray, " pair"]

    def __post_init__(self) -> None:
        if not len(self.x) == len(self.y) == len(self.labels):
            raise ValueError(
                f"x, y and labels have {len(self.x)}, {len(self.y)} and {len(self.labels)} rows"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Rows | slice) -> ClassPairs:
        return ClassPairs(x=self.x[rows], y=self.y[rows], labels=self.labels[rows])


def pairs_of(x: Any, y: Any, labels: Any) -> ClassPairs:
    """Make pairs from arrays of any number type."""
    return ClassPairs(
        x=np.ascontiguousarray(x, np.float32),
        y=np.ascontiguousarray(y, np.float32),
        labels=np.asarray(labels).astype(np.int64),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassSplit:
    """Row numbers of the training, validation and test pairs."""

    train: Rows
    val: Rows
    test: Rows


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassSet:
    """A data set: its pairs, the names of x and y, and its splits."""

    name: str
    features: str
    x_name: str
    y_name: str
    pairs: ClassPairs
    splits: tuple[ClassSplit, ...]
    class_names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Vectors:
    """Vectors to compare: x queries with the y gallery, y queries with the x gallery."""

    x_query: np.ndarray
    y_gallery: np.ndarray
    y_query: np.ndarray
    x_gallery: np.ndarray

    @classmethod
    def shared(cls, x: np.ndarray, y: np.ndarray) -> Vectors:
        """Vectors of one common space, where queries and gallery have the same vectors."""
        return cls(x_query=x, y_gallery=y, y_query=y, x_gallery=x)

    def __getitem__(self, rows: Rows) -> Vectors:
        return Vectors(**{name: values[rows] for name, values in vars(self).items()})


def split_rest(train: int, rest: int, *, test: int, times: int) -> tuple[ClassSplit, ...]:
    """Splits with the first `train` rows for training; the `rest` is split at random by seed."""
    orders = [np.random.default_rng(seed).permutation(rest) + train for seed in range(times)]
    rows = np.arange(train)
    return tuple(ClassSplit(train=rows, val=order[test:], test=order[:test]) for order in orders)


def split_balanced(
    labels: Int[np.ndarray, " pair"], *, parts: tuple[int, int], times: int
) -> tuple[ClassSplit, ...]:
    """Random splits by seed with `parts` (validation, test) rows per class; all others train."""
    return tuple(_balanced(labels, parts, np.random.default_rng(seed)) for seed in range(times))


def _balanced(labels: np.ndarray, parts: tuple[int, int], rng: np.random.Generator) -> ClassSplit:
    val, test = parts
    orders = [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    return ClassSplit(
        train=np.concatenate([order[val + test :] for order in orders]),
        val=np.concatenate([order[:val] for order in orders]),
        test=np.concatenate([order[val : val + test] for order in orders]),
    )


def scale_features(pairs: ClassPairs, train: Rows, how: Scale) -> ClassPairs:
    """Scale features with statistics of the training rows.

    zscore: mean 0 and variance 1 in every column; published_norms: one factor per modality, so that
    the mean norms are 25 and 15.

    Raises: UsageError for published_norms if all features are 0.
    """
    if how == "none":
        return pairs
    sides = [pairs.x, pairs.y]
    if how == "zscore":
        moved = [(side - side[train].mean(0)) / spread(side[train]) for side in sides]
    else:
        lengths = [float(np.linalg.norm(side[train], axis=1).mean()) for side in sides]
        if min(lengths) == 0:
            raise UsageError("all features are 0 and cannot be scaled; use scale = 'none'")
        factors = [norm / length for norm, length in zip(PUBLISHED_NORMS, lengths, strict=True)]
        moved = [side * factor for side, factor in zip(sides, factors, strict=True)]
    x, y = (side.astype(np.float32) for side in moved)
    return ClassPairs(x=x, y=y, labels=pairs.labels)


def spread(columns: np.ndarray) -> np.ndarray:
    """Standard deviation of every column, or 1 where the column is constant."""
    deviation = columns.std(0)
    return np.where(deviation > 1e-8, deviation, 1.0)
