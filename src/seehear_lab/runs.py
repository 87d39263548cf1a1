"""A recipe as a run: read the data, train, choose on validation, judge on test, write it down."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float

from seehear.errors import UsageError
from seehear.models import RetrievalModel, build_model
from seehear_lab import ablations
from seehear_lab.ablations.tefal_sound import freeze
from seehear_lab.convert.run import DESCRIPTION
from seehear_lab.datasets.clips import ClipGallery, ClipPairs, ClipReader, Pair
from seehear_lab.datasets.spec import DataSet, open_set
from seehear_lab.datasets.towers import towers_of
from seehear_lab.evaluate.protocol import (
    BANKED,
    corrected,
    encode,
    encode_captions,
    score_all,
    score_two_stage,
)
from seehear_lab.evaluate.report import Result, SelectedOn, judge, write_results
from seehear_lab.evaluate.trec import QRELS, RUN, write_qrels, write_run
from seehear_lab.recipe import Recipe, changes_of
from seehear_lab.train.checkpoint import load_weights
from seehear_lab.train.loop import BEST, fit
from seehear_lab.train.start import start_over_time
from seehear_lab.train.world import World, of_all

RESULTS = "results.json"
BANK = 2000  # training captions that QB-Norm looks at
assert ablations  # imported for the models it registers


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where a run finds its data and towers, and where it writes."""

    root: Path  # of the data set
    towers: Path  # a folder with clip/ and, where sound is heard, ast/
    output: Path


@dataclass(frozen=True, kw_only=True)
class Splits:
    """The pairs of a run, by use."""

    train: list[Pair]
    val: list[Pair]
    test: list[Pair]
    missing: int  # pairs whose video is not there

    @property
    def selected_on(self) -> SelectedOn:
        """How weights are chosen: on test too, if a single video of it is used for that."""
        if not self.val:
            return "last step"
        return "test" if self.shared("val") else "val"

    def shared(self, part: Literal["train", "val"]) -> int:
        """How many videos of test are in another part too."""
        own = {pair.path for pair in getattr(self, part)}
        return len(own & {pair.path for pair in self.test})


def run_recipe(
    name: str,
    recipe: Recipe,
    places: Places,
    *,
    device: torch.device,
    world: World = World(),  # noqa: B008  frozen
    tell: Callable[[dict[str, Any]], None] = lambda row: None,
) -> list[Result]:
    """Train a recipe, or go on with it, and judge the chosen weights on the test split.

    Raises: UsageError if data, towers and recipe do not fit each other.
    """
    parts = split_pairs(recipe, open_set(recipe.data.set, places.root))
    model = new_model(recipe, places.towers).to(device)
    reader = ClipReader(recipe.clips, words=model.encoder.words, side_px=model.encoder.side_px)
    chosen = _chooser(parts.val, reader)
    bank = [pair.caption for pair in parts.train]
    picked = np.random.default_rng(0).permutation(len(bank))[:BANK]
    gallery = ClipGallery(parts.test, reader, bank=[bank[at] for at in picked])
    progress = fit(
        model,
        ClipPairs(parts.train, reader),
        recipe.train,
        places.output,
        judge=chosen,
        tell=tell,
        world=world,
    )
    load_weights(model, places.output / BEST)
    if world.is_first:
        described = {"model": recipe.model.name, "settings": dict(recipe.model.settings)}
        (places.output / DESCRIPTION).write_text(json.dumps(described) + "\n", encoding="utf-8")
    about = {"recipe": name, "seed": recipe.train.seed, "step": progress.best_step or progress.step}
    about |= {"missing_pairs": parts.missing, "unread": of_all(reader.unread, world)}
    about |= {"test_videos_in_training": parts.shared("train")}
    about |= {"changed": changes_of(name, recipe)}
    runs, results = judged(name, recipe, model, gallery, parts.selected_on, about)
    if world.is_first:
        write_results(places.output / RESULTS, results)
        write_qrels(places.output / QRELS, gallery)
        for file, scores in runs.items():
            depth = recipe.evaluate.trec
            write_run(places.output / file, scores, gallery, tag=name, depth=depth)
    return results


def judged(
    name: str,
    recipe: Recipe,
    model: RetrievalModel,
    gallery: ClipGallery,
    selected_on: SelectedOn,
    about: dict[str, Any],
) -> tuple[dict[str, Float[np.ndarray, "query item"]], list[Result]]:
    """Scores by the file of their run, and results: text to video as the recipe says it, and back.

    With several captions of a video, the way back has both of its meanings.
    """
    encoded = encode(model, gallery)
    plain = score_all(model, encoded)
    rows = [("t2v", plain, "plain", about), ("v2t_grouped", plain, "plain", about)]
    rule, runs = recipe.evaluate, {RUN: plain}
    if rule.correction != "none":
        bank = None
        if rule.correction in BANKED:
            words = replace(encoded, query=encode_captions(model, gallery.bank_queries()))
            bank = score_all(model, words)
        scores, label = corrected(plain, rule.correction, bank_scores=bank)
        rows.append(("t2v", scores, label, about | {"correction": rule.correction}))
        runs["run.corrected.txt"] = scores
    if rule.rerank:
        keep = max(round(rule.rerank * len(gallery.item_ids)), 1)
        two = score_two_stage(model, encoded, gallery.own, keep=keep)
        extra = {"reranked": keep, "stage1_recall": two.stage1_recall}
        rows.append(("t2v", two.scores, "plain", about | extra))
        rows.append(("t2v", two.stage1, "plain", about | {"stage1": True}))
        runs |= {"run.reranked.txt": two.scores, "run.stage1.txt": two.stage1}
    if len(gallery.query_ids) > len(gallery.item_ids):
        rows.append(("v2t_any_caption", plain, "plain", about))
    return runs, [
        judge(
            name,
            scores,
            gallery,
            selected_on=selected_on,
            label=label,
            direction=direction,
            about=extra,
        )
        for direction, scores, label, extra in rows
    ]


def new_model(recipe: Recipe, towers: Path) -> RetrievalModel:
    """The recipe's model on towers from a folder.

    Raises: UsageError if the sizes do not fit; ValueError for an unknown model or setting.
    """
    ast = towers / "ast" if recipe.towers.ast else None
    encoder = towers_of(recipe.model.name, towers / "clip", ast)
    settings = recipe.model.settings
    for key, size in (("dim", encoder.dim), ("sound_dim", encoder.sound_dim)):
        if settings.get(key, size) != size:
            raise UsageError(
                f"the towers in {towers} have {key} {size}, the recipe says {settings[key]}; "
                f"bring {recipe.towers.clip}, or --set model.settings.{key}={size}"
            )
    for name in recipe.towers.frozen:
        freeze(encoder.clip_model if name == "clip" else encoder.ast)
    if recipe.train.recompute:
        encoder.recompute()
    torch.manual_seed(recipe.train.seed)
    model = build_model(recipe.model.name, encoder=encoder, **settings)
    start_over_time(model, encoder.clip_model.state_dict())
    return model


def split_pairs(recipe: Recipe, data: DataSet) -> Splits:
    """The pairs of training, validation and test; no video of validation is trained on.

    Raises: UsageError if not one video of a split is there.
    """
    part = recipe.data
    train, lost = _pairs(data, part.train)
    test, lost_test = _pairs(data, part.test)
    val: list[Pair] = []
    if part.val:
        val = _pairs(data, part.val)[0]
    elif part.holdout:
        videos = sorted({pair.path for pair in train})
        picked = np.random.default_rng(0).permutation(len(videos))[: part.holdout]
        kept_out = {videos[at] for at in picked}
        val = [pair for pair in train if pair.path in kept_out]
        train = [pair for pair in train if pair.path not in kept_out]
    return Splits(train=train, val=val, test=test, missing=lost + lost_test)


def _pairs(data: DataSet, split: str) -> tuple[list[Pair], int]:
    captions = data.captions(split)
    pairs = [
        Pair(name=name, path=path, caption=text, provenance=source)
        for (name, text), source in zip(captions, data.provenance(split), strict=True)
        if (path := data.file(name))
    ]
    if not pairs:
        raise UsageError(f"not one video of the split {split!r} is in '{data.folder}'")
    return pairs, len(captions) - len(pairs)


def _chooser(val: Sequence[Pair], reader: ClipReader) -> Callable[[RetrievalModel], float] | None:
    """R@1 on validation, or nothing to choose by."""
    if not val:
        return None
    gallery = ClipGallery(val, reader)

    def r1(model: RetrievalModel) -> float:
        scores = score_all(model, encode(model, gallery))
        return judge("val", scores, gallery, selected_on="val").metrics.r1

    return r1
