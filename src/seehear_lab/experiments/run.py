"""One experiment from top to bottom: data, model, training, evaluation, record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from seehear_lab.datasets.clips import ClipGallery, ClipReader
from seehear_lab.evaluate.report import Result
from seehear_lab.experiments.data import read_splits
from seehear_lab.experiments.evaluate import evaluate
from seehear_lab.experiments.model import new_model
from seehear_lab.experiments.recipe import Recipe
from seehear_lab.experiments.record import describe, write_run_folder
from seehear_lab.experiments.train import train
from seehear_lab.train.distributed import World
from seehear_lab.train.loop import OnLog


@dataclass(frozen=True, kw_only=True)
class RunPaths:
    """Folders of a run."""

    root: Path  # of the data set
    towers: Path  # with clip/ and, for models with sound, ast/
    output: Path


def run_recipe(
    name: str,
    recipe: Recipe,
    paths: RunPaths,
    *,
    device: torch.device,
    world: World = World(),  # noqa: B008  frozen
    on_log: OnLog = lambda row: None,
) -> list[Result]:
    """Train a recipe, or resume it, and evaluate the selected weights on the test split.

    Raises: UsageError if data, towers and recipe do not match.
    """
    splits = read_splits(recipe.data, paths.root)
    model = new_model(recipe, paths.towers).to(device)
    encoder = model.encoder
    reader = ClipReader(recipe.clips, tokenizer=encoder.tokenizer, side_px=encoder.side_px)
    gallery = ClipGallery(splits.test, reader, bank=splits.bank)
    progress = train(model, splits, reader, recipe.train, paths.output, world=world, on_log=on_log)
    about = describe(name, recipe, splits, progress, unread=reader.unread, world=world)
    evaluation = evaluate(name, recipe, model, gallery, splits.selected_on, about)
    if world.is_first:
        write_run_folder(paths.output, name, recipe, gallery, evaluation)
    return evaluation.results
