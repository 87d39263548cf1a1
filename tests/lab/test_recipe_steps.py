"""Recipes of every kind train one step on generated data in the real layout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.test_recipes import CPU, SMALL
from seehear_lab.evaluate.report import read_results
from seehear_lab.experiments.recipe import load_recipe
from seehear_lab.experiments.record import RESULTS
from seehear_lab.experiments.run import RunPaths, run_recipe
from seehear_lab.experiments.tables import find_results
from seehear_lab.recipes.reader import list_recipes

Generated = Callable[[str], Path]
DIM = {
    "model.settings.dim": 32,
    "model.settings.sound_dim": 48,
    "model.settings.patches": 16,
    "model.settings.hidden": 32,
    "model.settings.wide": 64,
}


def aspects(name: str) -> set[object]:
    """What makes a training run different from others."""
    recipe = load_recipe(name)
    data, clips, train, evaluate = recipe.data, recipe.clips, recipe.train, recipe.evaluate
    return {
        (recipe.model.name, train.loss),
        (recipe.model.name, tuple(str(group) for group in train.groups)),
        (data.set, bool(data.val), bool(data.holdout)),
        ("clips", clips.sampler, clips.crop, clips.shift),
        ("frozen", recipe.towers.frozen),
        ("correction", evaluate.correction),
        ("stages", bool(evaluate.rerank), evaluate.stage1),
    }


def different_recipes() -> list[str]:
    """The first recipes that show every aspect of all."""
    seen: set[object] = set()
    chosen: list[str] = []
    for name in list_recipes():
        if not aspects(name) <= seen:
            chosen.append(name)
            seen |= aspects(name)
    return chosen


@pytest.mark.parametrize("name", different_recipes())
def test_a_recipe_takes_one_step(
    name: str, variants: None, towers: Path, tmp_path: Path, generated: Generated
) -> None:
    recipe = load_recipe(name)
    known = [key for key in DIM if key.rsplit(".")[-1] in recipe.model.settings]
    changes = [*SMALL, *(f"{key}={DIM[key]}" for key in known)]
    if recipe.data.holdout:
        changes.append("data.holdout=1")
    if recipe.clips.frames > 12:
        changes.append("clips.frames=6")
    recipe = load_recipe(name, changes=changes)
    paths = RunPaths(root=generated(recipe.data.set), towers=towers, output=tmp_path / "0")
    results = run_recipe(name, recipe, paths, device=CPU)
    assert read_results(tmp_path / "0" / RESULTS) == results
    assert [result.direction for result in results[:2]] == ["t2v", "v2t_grouped"]
    has_val = bool(recipe.data.val or recipe.data.holdout)
    assert results[0].selected_on == ("val" if has_val else "last step")
    assert results[0].gallery == 3 and results[0].with_sound == 2
    if recipe.evaluate.correction != "none":
        is_banked = recipe.evaluate.correction == "qb_norm"
        assert results[2].label == ("inductive" if is_banked else "transductive")
    if not recipe.run_of:  # the row of the table is among them
        assert len(find_results(tmp_path, recipe)) == 1
    rows = [json.loads(line) for line in (tmp_path / "0/log.jsonl").read_text().splitlines()]
    assert rows[0]["step"] == 1 and rows[0]["loss"] > 0
