"""Run a class-level recipe: fit, select a state on validation, evaluate it on test, per split."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from seehear.errors import UsageError
from seehear_lab.class_level.grid import ClassRecipe, SelectOn
from seehear_lab.class_level.metrics import Distance, chance, mean_ap
from seehear_lab.class_level.pairs import ClassPairs, ClassSet, ClassSplit, Vectors, scale_features
from seehear_lab.class_level.readers import read_set
from seehear_lab.class_level.systems import build_system

METRICS = ("x2y", "y2x", "both", "class_x2y", "class_y2x", "class_both")
State = dict[str, float]  # what a system says about itself: epoch, losses, settings


@dataclass(kw_only=True)
class Selection:
    """The best state so far of one split, by one distance."""

    split: int
    seed: int
    distance: Distance
    selected_by: float = -1.0  # "both" mAP on the pairs that select
    state: State = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)  # on the test pairs


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The selections of a recipe, the chance level, and the curves of validation."""

    selections: list[Selection]
    chance: dict[str, float]  # mean over splits
    curves: list[dict[str, float]]
    seconds: float

    def values(self, metric: str, distance: Distance) -> np.ndarray:
        """One metric of every split and seed, in percent, in the same order for all systems."""
        return np.array([s.metrics[metric] for s in self.selections if s.distance == distance])


def evaluate_vectors(vectors: Vectors, labels: np.ndarray, distance: Distance) -> dict[str, float]:
    """mAP in both directions and their mean, plain and class-averaged (METRICS)."""
    pair = (labels, labels)
    x2y = mean_ap(vectors.x_query, vectors.y_gallery, pair, distance=distance)
    y2x = mean_ap(vectors.y_query, vectors.x_gallery, pair, distance=distance)
    return {
        "x2y": x2y.map,
        "y2x": y2x.map,
        "both": (x2y.map + y2x.map) / 2,
        "class_x2y": x2y.class_map,
        "class_y2x": y2x.class_map,
        "class_both": (x2y.class_map + y2x.class_map) / 2,
    }


def run(
    recipe: ClassRecipe, root: Path, *, on_log: Callable[[str], None] = lambda line: None
) -> Outcome:
    """Run every seed on every split; splits with the same training pairs share one training.

    Raises: UsageError if the recipe selects on validation and the set has no validation pairs.
    """
    begun, data = time.perf_counter(), read_set(recipe.set, root)
    splits = data.splits[: recipe.splits or None]
    if recipe.select == "val" and any(np.isin(s.val, s.test).any() for s in splits):
        raise UsageError(
            f"the validation pairs of {recipe.set!r} are test pairs; "
            "set select to 'last' (or to 'test' for a replication)"
        )
    selections, curves = [], []
    for numbers in _same_training(splits):
        for seed in recipe.seeds:
            own = [
                Selection(split=n, seed=seed, distance=d) for n in numbers for d in recipe.distances
            ]
            for row in _fit(recipe, data, splits, own):
                curves.append({"seed": seed, **row})
                on_log(" ".join(f"{key} {value:.4g}" for key, value in row.items()))
            selections += own
    by_chance = [chance(*(data.pairs.labels[split.test],) * 2) for split in splits]
    return Outcome(
        selections=selections,
        chance={
            name: float(np.mean([getattr(c, name) for c in by_chance]))
            for name in vars(by_chance[0])
        },
        curves=curves,
        seconds=time.perf_counter() - begun,
    )


def _fit(
    recipe: ClassRecipe,
    data: ClassSet,
    splits: Sequence[ClassSplit],
    selections: Sequence[Selection],
) -> Iterator[dict[str, float]]:
    """Fit once and update the selections after every state; stop when no split improves."""
    train = splits[selections[0].split].train
    pairs = scale_features(data.pairs, train, recipe.scale)
    others = np.setdiff1d(np.arange(len(pairs)), train)
    hidden = ClassPairs(x=pairs.x[others], y=pairs.y[others], labels=np.full(len(others), -1))
    torch.manual_seed(selections[0].seed)
    system = build_system(recipe.system.name, recipe.system.settings)
    without_gain = 0
    for state in system.fit(pairs[train], hidden):
        encoded = _Encoded(system.vectors(hidden), others, data.pairs.labels)
        before = [each.selected_by for each in selections]
        values = [
            _update(recipe.select, each, state, encoded, splits[each.split]) for each in selections
        ]
        is_better = before != [each.selected_by for each in selections]
        without_gain = 0 if is_better else without_gain + 1
        yield {**state, **_means(recipe, selections, values)}
        if "epoch" in state and without_gain >= recipe.patience and recipe.select != "last":
            return


@dataclass(frozen=True, eq=False)
class _Encoded:
    """Vectors of all pairs that are not trained on, and the labels of all pairs."""

    vectors: Vectors
    rows: np.ndarray
    labels: np.ndarray

    def evaluate(self, rows: np.ndarray, distance: Distance) -> dict[str, float]:
        vectors = self.vectors[np.searchsorted(self.rows, rows)]
        return evaluate_vectors(vectors, self.labels[rows], distance)


def _update(
    select: SelectOn, selection: Selection, state: State, encoded: _Encoded, split: ClassSplit
) -> float:
    """Select the state if it is the best so far; return the metric that it is selected by."""
    if select == "last":
        selection.selected_by, selection.state = selection.selected_by + 1, state
        selection.metrics = encoded.evaluate(split.test, selection.distance)
        return selection.metrics["both"]
    rows = split.val if select == "val" else split.test
    metric = encoded.evaluate(rows, selection.distance)["both"]
    if metric > selection.selected_by:
        selection.selected_by, selection.state = metric, state
        selection.metrics = encoded.evaluate(split.test, selection.distance)
    return metric


def _means(
    recipe: ClassRecipe, selections: Sequence[Selection], values: Sequence[float]
) -> dict[str, float]:
    """The mean over splits of the metric that selects, for each distance."""
    part = "test" if recipe.select == "last" else recipe.select
    pairs = list(zip(selections, values, strict=True))
    return {
        f"{part}_{distance}": float(np.mean([v for s, v in pairs if s.distance == distance]))
        for distance in recipe.distances
    }


def _same_training(splits: Sequence[ClassSplit]) -> list[list[int]]:
    """Numbers of the splits, grouped by their training pairs."""
    groups: dict[bytes, list[int]] = {}
    for number, split in enumerate(splits):
        groups.setdefault(np.sort(split.train).tobytes(), []).append(number)
    return list(groups.values())
