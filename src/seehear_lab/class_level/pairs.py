"""Pairs with a class, how they are cut into parts, and how features are scaled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, Int

from seehear.errors import UsageError

Scale = Literal["none", "zscore", "published_norms"]
PUBLISHED_NORMS = (25.0, 15.0)  # VGG19 fc7 and sentence CNN, about, as DSTC and DSCMR use them
Rows = Int[np.ndarray, " row"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """Row i of x and row i of y belong together and to class labels[i]."""

    x: Float32[np.ndarray, "pair x_dim"]
    y: Float32[np.ndarray, "pair y_dim"]
    labels: Int[np.ndarray, " pair"]

    def __post_init__(self) -> None:
        if not len(self.x) == len(self.y) == len(self.labels):
            raise ValueError(f"{len(self.x)} x, {len(self.y)} y and {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Rows | slice) -> Pairs:
        return Pairs(x=self.x[rows], y=self.y[rows], labels=self.labels[rows])


def pairs_of(x: Any, y: Any, labels: Any) -> Pairs:
    """Pairs of whatever numbers a file held, as float32 and int64."""
    return Pairs(
        x=np.ascontiguousarray(x, np.float32),
        y=np.ascontiguousarray(y, np.float32),
        labels=np.asarray(labels).astype(np.int64),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Cut:
    """Which rows train, which select, which are tested."""

    train: Rows
    val: Rows
    test: Rows


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassSet:
    """A data set: its pairs, what x and y are, and its cuts."""

    name: str
    features: str
    x_name: str
    y_name: str
    pairs: Pairs
    cuts: tuple[Cut, ...]
    class_names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Vectors:
    """What is compared: x queries with the y gallery, y queries with the x gallery."""

    x_query: np.ndarray
    y_gallery: np.ndarray
    y_query: np.ndarray
    x_gallery: np.ndarray

    @classmethod
    def shared(cls, x: np.ndarray, y: np.ndarray) -> Vectors:
        """One common space: a vector is the same as a query and in the gallery."""
        return cls(x_query=x, y_gallery=y, y_query=y, x_gallery=x)

    def __getitem__(self, rows: Rows) -> Vectors:
        return Vectors(**{name: values[rows] for name, values in vars(self).items()})


def cut_rest(train: int, rest: int, *, test: int, times: int) -> tuple[Cut, ...]:
    """The first `train` rows always train; the `rest` is cut at random, by seeds 0, 1, ..."""
    orders = [np.random.default_rng(seed).permutation(rest) + train for seed in range(times)]
    rows = np.arange(train)
    return tuple(Cut(train=rows, val=order[test:], test=order[:test]) for order in orders)


def cut_balanced(
    labels: Int[np.ndarray, " pair"], *, parts: tuple[int, int], times: int
) -> tuple[Cut, ...]:
    """In every class `parts` rows (validation, test) at random, by seeds; all others train."""
    return tuple(_balanced(labels, parts, np.random.default_rng(seed)) for seed in range(times))


def _balanced(labels: np.ndarray, parts: tuple[int, int], rng: np.random.Generator) -> Cut:
    val, test = parts
    orders = [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    return Cut(
        train=np.concatenate([order[val + test :] for order in orders]),
        val=np.concatenate([order[:val] for order in orders]),
        test=np.concatenate([order[val : val + test] for order in orders]),
    )


def scaled(pairs: Pairs, train: Rows, how: Scale) -> Pairs:
    """Features as a recipe asks, measured on the training rows.

    zscore: mean 0 and variance 1 in every column; published_norms: one factor a modality, so that
    the mean length is 25 and 15.
    """
    if how == "none":
        return pairs
    sides = [pairs.x, pairs.y]
    if how == "zscore":
        moved = [(side - side[train].mean(0)) / spread(side[train]) for side in sides]
    else:
        lengths = [float(np.linalg.norm(side[train], axis=1).mean()) for side in sides]
        if min(lengths) == 0:
            raise UsageError("features are all 0 and cannot be scaled; use scale = 'none'")
        factors = [norm / length for norm, length in zip(PUBLISHED_NORMS, lengths, strict=True)]
        moved = [side * factor for side, factor in zip(sides, factors, strict=True)]
    x, y = (side.astype(np.float32) for side in moved)
    return Pairs(x=x, y=y, labels=pairs.labels)


def spread(columns: np.ndarray) -> np.ndarray:
    """Standard deviation of every column, 1 where it never changes."""
    deviation = columns.std(0)
    return np.where(deviation > 1e-8, deviation, 1.0)
