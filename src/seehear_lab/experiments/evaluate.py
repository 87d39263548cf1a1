"""Evaluate a trained model on the test split in every way that its recipe asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from seehear.models import RetrievalModel
from seehear_lab.datasets.clips import ClipGallery
from seehear_lab.evaluate.metrics import Direction
from seehear_lab.evaluate.protocol import (
    NEED_BANK,
    Encoded,
    correct_hubness,
    encode,
    encode_captions,
    score_all,
    score_two_stage,
)
from seehear_lab.evaluate.report import Result, SelectedOn, evaluate_scores
from seehear_lab.evaluate.trec import RUN
from seehear_lab.experiments.recipe import EvaluatePart, Recipe

Scores = Float[np.ndarray, "query item"]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Results, and the scores behind them by the name of their run file."""

    results: list[Result]
    scores: Mapping[str, Scores]


@dataclass(frozen=True, kw_only=True)
class Row:
    """Scores to report, how they were computed, and the run file to write them to, if any."""

    scores: Scores
    file: str = ""
    direction: Direction = "t2v"
    label: str = "plain"
    about: Mapping[str, Any]


def evaluate(
    name: str,
    recipe: Recipe,
    model: RetrievalModel,
    gallery: ClipGallery,
    selected_on: SelectedOn,
    about: Mapping[str, Any],
) -> Evaluation:
    """Text to video as the recipe asks, and video to text; `about` is added to every result.

    Where videos have several captions, video to text is reported in both of its meanings.
    """
    encoded = encode(model, gallery)
    plain = score_all(model, encoded)
    rows = [
        Row(scores=plain, file=RUN, about={}),
        Row(scores=plain, direction="v2t_grouped", about={}),
        *_corrected(recipe.evaluate, model, gallery, encoded, plain),
        *_two_stage(recipe.evaluate, model, gallery, encoded),
    ]
    if len(gallery.query_ids) > len(gallery.item_ids):
        rows.append(Row(scores=plain, direction="v2t_any_caption", about={}))
    results = [
        evaluate_scores(
            name,
            row.scores,
            gallery,
            selected_on=selected_on,
            label=row.label,
            direction=row.direction,
            about={**about, **row.about},
        )
        for row in rows
    ]
    return Evaluation(results=results, scores={row.file: row.scores for row in rows if row.file})


def _corrected(
    part: EvaluatePart,
    model: RetrievalModel,
    gallery: ClipGallery,
    encoded: Encoded,
    plain: Scores,
) -> list[Row]:
    if part.correction == "none":
        return []
    bank = None
    if part.correction in NEED_BANK:
        captions = encode_captions(model, gallery.bank_queries())
        bank = score_all(model, replace(encoded, query=captions))
    scores, label = correct_hubness(plain, part.correction, bank_scores=bank)
    about = {"correction": part.correction}
    return [Row(scores=scores, file="run.corrected.txt", label=label, about=about)]


def _two_stage(
    part: EvaluatePart, model: RetrievalModel, gallery: ClipGallery, encoded: Encoded
) -> list[Row]:
    if not part.rerank:
        return []
    keep = max(round(part.rerank * len(gallery.item_ids)), 1)
    both = score_two_stage(model, encoded, gallery.target, keep=keep)
    about = {"reranked": keep, "stage1_recall": both.stage1_recall}
    return [
        Row(scores=both.scores, file="run.reranked.txt", about=about),
        Row(scores=both.stage1, file="run.stage1.txt", about={"stage1": True}),
    ]
