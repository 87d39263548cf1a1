"""Train the model of a recipe and load its selected weights."""

from __future__ import annotations

from pathlib import Path

from seehear.models import RetrievalModel
from seehear_lab.datasets.batches import Gallery
from seehear_lab.datasets.clips import ClipGallery, ClipPairs, ClipReader
from seehear_lab.evaluate.metrics import rank, recall
from seehear_lab.evaluate.protocol import encode, score_all
from seehear_lab.experiments.data import Splits
from seehear_lab.train.checkpoint import Progress, load_weights
from seehear_lab.train.config import TrainConfig
from seehear_lab.train.distributed import World
from seehear_lab.train.loop import BEST, MetricFn, OnLog, fit


def train(
    model: RetrievalModel,
    splits: Splits,
    reader: ClipReader,
    config: TrainConfig,
    output: Path,
    *,
    world: World,
    on_log: OnLog,
) -> Progress:
    """Train, or resume, in the folder `output`; afterwards the model has the selected weights."""
    metric_fn = validation_r1(ClipGallery(splits.val, reader)) if splits.val else None
    pairs = ClipPairs(splits.train, reader)
    progress = fit(model, pairs, config, output, metric_fn=metric_fn, on_log=on_log, world=world)
    load_weights(model, output / BEST)
    return progress


def validation_r1(gallery: Gallery) -> MetricFn:
    """A function that computes R@1 of text to video on a gallery, in percent."""

    def r1(model: RetrievalModel) -> float:
        scores = score_all(model, encode(model, gallery))
        return recall(rank(scores, gallery.target, "t2v"), 1)

    return r1
