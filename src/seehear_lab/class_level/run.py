"""Running a recipe: fit, choose a state on validation, judge it on test, for every cut."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from seehear.errors import UsageError
from seehear_lab.class_level.metrics import Distance, chance, mean_ap
from seehear_lab.class_level.pairs import ClassSet, Cut, Pairs, Vectors, scaled
from seehear_lab.class_level.readers import read_set
from seehear_lab.class_level.recipe import ClassRecipe
from seehear_lab.class_level.systems import build_system

FIGURES = ("x2y", "y2x", "both", "class_x2y", "class_y2x", "class_both")
Tell = Callable[[str], None]


@dataclass(kw_only=True)
class Choice:
    """The best state so far of one cut, by one distance."""

    cut: int
    seed: int
    distance: Distance
    judged: float = -1.0  # what it was chosen by: "both" on validation
    state: dict[str, float] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """All choices of a recipe, the chance level, and how validation went on the way."""

    choices: list[Choice]
    chance: dict[str, float]  # mean over cuts
    curves: list[dict[str, float]]
    seconds: float

    def values(self, figure: str, distance: Distance) -> np.ndarray:
        """One figure of every cut and seed, in percent; the order is the same for all systems."""
        return np.array([c.figures[figure] for c in self.choices if c.distance == distance])


def judge(vectors: Vectors, labels: np.ndarray, distance: Distance) -> dict[str, float]:
    """mAP in both directions and their mean, plain and class-averaged."""
    pair = (labels, labels)
    there = mean_ap(vectors.x_query, vectors.y_gallery, pair, distance=distance)
    back = mean_ap(vectors.y_query, vectors.x_gallery, pair, distance=distance)
    return {
        "x2y": there.map,
        "y2x": back.map,
        "both": (there.map + back.map) / 2,
        "class_x2y": there.class_map,
        "class_y2x": back.class_map,
        "class_both": (there.class_map + back.class_map) / 2,
    }


def run(recipe: ClassRecipe, root: Path, *, tell: Tell = lambda line: None) -> Outcome:
    """Every seed on every cut; cuts that train on the same pairs are judged along one training.

    Raises: UsageError if a set has no validation pairs of its own and the recipe wants them.
    """
    begun, held = time.perf_counter(), read_set(recipe.set, root)
    cuts = held.cuts[: recipe.cuts or None]
    if recipe.select == "val" and any(np.isin(cut.val, cut.test).any() for cut in cuts):
        raise UsageError(
            f"{recipe.set!r} has no validation pairs beside its test pairs; "
            "set select to 'last' (or to 'test' for a replication)"
        )
    choices, curves = [], []
    for numbers in _same_training(cuts):
        for seed in recipe.seeds:
            own = [Choice(cut=n, seed=seed, distance=d) for n in numbers for d in recipe.distances]
            for row in _follow(recipe, held, cuts, own):
                curves.append({"seed": seed, **row})
                tell(" ".join(f"{key} {value:.4g}" for key, value in row.items()))
            choices += own
    by_chance = [chance(*(held.pairs.labels[cut.test],) * 2) for cut in cuts]
    return Outcome(
        choices=choices,
        chance={
            name: float(np.mean([getattr(c, name) for c in by_chance]))
            for name in vars(by_chance[0])
        },
        curves=curves,
        seconds=time.perf_counter() - begun,
    )


def _follow(
    recipe: ClassRecipe, held: ClassSet, cuts: Sequence[Cut], choices: Sequence[Choice]
) -> Iterator[dict[str, float]]:
    """Fit once; after every state judge each cut, and stop when none gets better any more."""
    train = cuts[choices[0].cut].train
    pairs = scaled(held.pairs, train, recipe.scale)
    others = np.setdiff1d(np.arange(len(pairs)), train)
    hidden = Pairs(x=pairs.x[others], y=pairs.y[others], labels=np.full(len(others), -1))
    torch.manual_seed(choices[0].seed)
    system = build_system(recipe.system.name, recipe.system.settings)
    stale = 0
    for state in system.fit(pairs[train], hidden):
        found = _Found(system.vectors(hidden), others, held.pairs.labels)
        before = [choice.judged for choice in choices]
        values = [_consider(recipe.select, choice, state, found, cuts) for choice in choices]
        is_better = before != [choice.judged for choice in choices]
        stale = 0 if is_better else stale + 1
        yield {**state, **_means(recipe, choices, values)}
        if "epoch" in state and stale >= recipe.patience and recipe.select != "last":
            return


@dataclass(frozen=True, eq=False)
class _Found:
    """Vectors of all pairs that do not train, and the labels of the whole set."""

    vectors: Vectors
    rows: np.ndarray
    labels: np.ndarray

    def judge(self, rows: np.ndarray, distance: Distance) -> dict[str, float]:
        return judge(self.vectors[np.searchsorted(self.rows, rows)], self.labels[rows], distance)


def _consider(
    select: str, choice: Choice, state: dict[str, float], found: _Found, cuts: Sequence[Cut]
) -> float:
    """What this state is judged by; if it is the best so far, it is judged on the test pairs."""
    cut = cuts[choice.cut]
    if select == "last":
        choice.judged, choice.state = choice.judged + 1, state
        choice.figures = found.judge(cut.test, choice.distance)
        return choice.figures["both"]
    figures = found.judge(cut.val if select == "val" else cut.test, choice.distance)
    if figures["both"] > choice.judged:
        choice.judged, choice.state = figures["both"], state
        choice.figures = found.judge(cut.test, choice.distance)
    return figures["both"]


def _means(
    recipe: ClassRecipe, choices: Sequence[Choice], values: Sequence[float]
) -> dict[str, float]:
    """Mean over cuts of what states were judged by, for each distance."""
    part = "test" if recipe.select == "last" else recipe.select
    return {
        f"{part}_{distance}": float(
            np.mean([v for c, v in zip(choices, values, strict=True) if c.distance == distance])
        )
        for distance in recipe.distances
    }


def _same_training(cuts: Sequence[Cut]) -> list[list[int]]:
    """Numbers of the cuts that train on the same pairs, together."""
    groups: dict[bytes, list[int]] = {}
    for number, cut in enumerate(cuts):
        groups.setdefault(np.sort(cut.train).tobytes(), []).append(number)
    return list(groups.values())
