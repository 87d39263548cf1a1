"""The pairs that a recipe trains, selects and tests on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from seehear_lab.datasets.spec import Pair, open_dataset
from seehear_lab.evaluate.report import SelectedOn
from seehear_lab.experiments.recipe import DataPart

BANK = 2000  # training captions for QB-Norm


@dataclass(frozen=True, kw_only=True)
class Splits:
    """The pairs of each split, and the training captions for hubness corrections."""

    train: list[Pair]
    val: list[Pair]
    test: list[Pair]
    bank: list[str]
    missing: int  # pairs whose video is not in the folder

    @property
    def selected_on(self) -> SelectedOn:
        """How weights are selected: "test" if a single test video is used for it."""
        if not self.val:
            return "last step"
        return "test" if self.shared_with_test("val") else "val"

    def shared_with_test(self, part: Literal["train", "val"]) -> int:
        """The number of test videos that are in another split too."""
        other = {pair.path for pair in getattr(self, part)}
        return len(other & {pair.path for pair in self.test})


def read_splits(part: DataPart, root: Path) -> Splits:
    """Read the splits of a recipe; videos held out for validation are not trained on.

    Raises: UsageError if a split has no video in the folder.
    """
    data = open_dataset(part.set, root)
    train, missing = data.pairs(part.train)
    test, missing_test = data.pairs(part.test)
    val: list[Pair] = []
    if part.val:
        val, _ = data.pairs(part.val)
    elif part.holdout:
        videos = sorted({pair.path for pair in train})
        order = np.random.default_rng(0).permutation(len(videos))
        held_out = {videos[row] for row in order[: part.holdout]}
        val = [pair for pair in train if pair.path in held_out]
        train = [pair for pair in train if pair.path not in held_out]
    picked = np.random.default_rng(0).permutation(len(train))[:BANK]
    return Splits(
        train=train,
        val=val,
        test=test,
        bank=[train[row].caption for row in picked],
        missing=missing + missing_test,
    )
