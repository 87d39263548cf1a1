"""What a run writes into its folder: results, runs in TREC's format, the model's description."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seehear_lab.convert.run import DESCRIPTION
from seehear_lab.datasets.batches import Gallery
from seehear_lab.evaluate.report import write_results
from seehear_lab.evaluate.trec import QRELS, write_qrels, write_run
from seehear_lab.experiments.data import Splits
from seehear_lab.experiments.evaluate import Evaluation
from seehear_lab.experiments.recipe import Recipe, changed_settings
from seehear_lab.train.checkpoint import Progress
from seehear_lab.train.distributed import World, gather_strings

RESULTS = "results.json"


def describe(
    name: str,
    recipe: Recipe,
    splits: Splits,
    progress: Progress,
    *,
    unread: Sequence[str],
    world: World,
) -> dict[str, Any]:
    """Facts about a run that go with each of its results."""
    return {
        "recipe": name,
        "seed": recipe.train.seed,
        "step": progress.best_step or progress.step,
        "missing_pairs": splits.missing,
        "unread": gather_strings(unread, world),
        "test_videos_in_training": splits.shared_with_test("train"),
        "changed": changed_settings(name, recipe),
    }


def write_run_folder(
    folder: Path, name: str, recipe: Recipe, gallery: Gallery, evaluation: Evaluation
) -> None:
    """Write model.json, results.json, qrels.txt and the run files."""
    model = {"model": recipe.model.name, "settings": dict(recipe.model.settings)}
    (folder / DESCRIPTION).write_text(json.dumps(model) + "\n", encoding="utf-8")
    write_results(folder / RESULTS, evaluation.results)
    write_qrels(folder / QRELS, gallery)
    for file, scores in evaluation.scores.items():
        write_run(folder / file, scores, gallery, tag=name, depth=recipe.evaluate.trec)
