"""Recipes parse and name existing things; runs select on validation; tables print."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from class_level.made import made_pairs
from seehear.errors import UsageError
from seehear_lab.class_level import run as runner
from seehear_lab.class_level.grid import FOLDER, load_points
from seehear_lab.class_level.pairs import ClassPairs, ClassSet, ClassSplit, Vectors
from seehear_lab.class_level.readers import READERS
from seehear_lab.class_level.report import as_json, rows_of, table_lines, table_names, write
from seehear_lab.class_level.systems import SYSTEMS
from seehear_lab.cli import app
from seehear_lab.recipes.reader import list_recipes

ROWS_OF_TABLE_1 = [f"dstc_terms_{row:02d}" for row in range(1, 11)]


@pytest.mark.parametrize("name", list_recipes(FOLDER))
def test_a_recipe_names_existing_things(name: str) -> None:
    for point in load_points(name):
        recipe = point.recipe
        assert recipe.table in table_names()
        assert recipe.set in READERS
        if {"x2y", "y2x", "both"} <= set(recipe.published) and name != "dstc_pascal":
            mean = (recipe.published["x2y"] + recipe.published["y2x"]) / 2
            assert recipe.published["both"] == pytest.approx(mean, abs=0.45)


def test_every_system_and_every_row_of_table_1_has_a_recipe() -> None:
    named = {
        point.recipe.system.name for name in list_recipes(FOLDER) for point in load_points(name)
    }
    assert named == set(SYSTEMS)
    terms = [load_points(name) for name in ROWS_OF_TABLE_1]
    for points in terms:
        assert [p.changes["system.settings.distance"] for p in points] == ["cosine", "euclidean"]
        assert points[0].recipe.distances == ("cosine", "euclidean")
    weights = [tuple(p[0].recipe.system.settings.get("weights", {})) for p in terms]
    assert len(set(weights)) == 10


def test_changes_reach_settings_and_replace_a_grid() -> None:
    changes = ["system.settings.distance=cosine", "system.settings.lr=0.5"]
    (point,) = load_points("dstc_terms_03", changes=changes)
    assert point.recipe.system.settings["lr"] == 0.5
    assert point.changes == {}


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        (
            "dstc_wiki",
            (),
            r"no class-level recipe named 'dstc_wiki'; did you mean 'dstc_wikipedia'",
        ),
        ("cca_digits", ("scales=none",), r"has no setting 'scales'; did you mean 'scale'"),
        ("cca_digits", ("system.name=ccca",), r"no class-level system named 'ccca'; did you mean"),
        ("dstc_digits", ("system.settings.weights.pt=1",), r"dstc\.weights has no setting 'pt'"),
        ("dstc_digits", ("system.settings.pc_reduction=max",), r"pc_reduction is 'max'; Known"),
    ],
)
def test_unknown_names_are_refused(name: str, changes: tuple[str, ...], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        load_points(name, changes=changes)


def made_set(*, val_is_test: bool = False) -> ClassSet:
    pairs, rows = made_pairs(120), np.arange(120)
    splits = [
        ClassSplit(train=rows[:70], val=rows[95:] if val_is_test else rows[70:95], test=rows[95:]),
        ClassSplit(train=rows[:70], val=rows[95:], test=rows[70:95]),
    ]
    return ClassSet(
        name="made", features="noise", x_name="x", y_name="y", pairs=pairs,
        splits=tuple(splits), class_names=tuple("abcd"),
    )  # fmt: skip


@pytest.fixture
def only_made(monkeypatch: pytest.MonkeyPatch) -> ClassSet:
    made = made_set()
    monkeypatch.setitem(READERS, "digits", ("", lambda folder: made))
    return made


def test_each_split_selects_its_best_state_on_validation(only_made: ClassSet) -> None:
    (point,) = load_points("cca_digits")
    outcome = runner.run(point.recipe, Path())
    assert len(outcome.selections) == 2
    assert len(outcome.curves) == 4 * 6  # ridges, components
    assert len({id(row) for row in outcome.curves}) == 24
    for selection in outcome.selections:
        split = only_made.splits[selection.split]
        best = -1.0
        for ridge in (1e-3, 1e-2, 1e-1, 1.0):
            for components in (5, 7, 9, 12, 15, 20):
                one = load_points(
                    "cca_digits",
                    changes=[
                        f"system.settings.ridges=[{ridge}]",
                        f"system.settings.components=[{components}]",
                        "select=last",
                    ],
                )[0].recipe
                swapped = ClassSplit(train=split.train, val=split.test, test=split.val)
                fixed = made_set()
                object.__setattr__(fixed, "splits", (swapped,))
                READERS["digits"] = ("", lambda folder, fixed=fixed: fixed)
                best = max(best, runner.run(one, Path()).selections[0].metrics["both"])
        assert selection.selected_by == pytest.approx(best)
    assert outcome.chance["map"] < min(outcome.values("both", "cosine"))


def test_test_labels_do_not_change_the_selection(
    only_made: ClassSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    (point,) = load_points("jrl_digits", changes=["system.settings.neighbours=5"])
    before = runner.run(point.recipe, Path()).selections[0].selected_by
    split = only_made.splits[0]
    only_made.pairs.labels[split.test] = (only_made.pairs.labels[split.test] + 1) % 4
    assert runner.run(point.recipe, Path()).selections[0].selected_by == before


def test_a_set_without_validation_needs_another_selection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(READERS, "digits", ("", lambda folder: made_set(val_is_test=True)))
    with pytest.raises(UsageError, match=r"the validation pairs of .* set select to 'last'"):
        runner.run(load_points("cca_digits")[0].recipe, Path())
    point = load_points("cca_digits", changes=["select=test"])[0]
    result = as_json(point, made_set(), runner.run(point.recipe, Path()))
    assert "REPLICATION: selected on the test pairs" in rows_of(result)[0][-1]


class Scripted:
    """A system of fixed states: how many items of each split it places with their class."""

    placed = ((0, 0), (5, 0), (25, 0), (25, 9), *[(25, 9)] * 20)  # of 25, per state and split

    def fit(self, train: ClassPairs, unlabelled: ClassPairs) -> Iterator[dict[str, float]]:
        for epoch in range(len(self.placed)):
            self.epoch = epoch
            yield {"epoch": epoch}

    def vectors(self, pairs: ClassPairs) -> Vectors:
        found = np.ones((50, 4))  # rows 70 .. 119: all alike
        for split, count in enumerate(self.placed[self.epoch]):
            rows = np.arange(25 * split, 25 * split + count)
            found[rows] = np.eye(4)[(rows + 70) % 4]
        return Vectors.shared(found, found)


def test_training_stops_when_no_split_gets_better(
    only_made: ClassSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first split is best at state 2, the second one at state 3; two stale states end it."""
    monkeypatch.setattr(runner, "build_system", lambda name, settings: Scripted())
    (point,) = load_points("dstc_digits", changes=["patience=2"])
    outcome = runner.run(point.recipe, Path())
    assert [row["epoch"] for row in outcome.curves] == [0, 1, 2, 3, 4, 5]
    best = {(found.split, found.state["epoch"]) for found in outcome.selections}
    assert best == {(0, 2), (1, 3)}


def test_curves_have_losses_and_validation(only_made: ClassSet) -> None:
    settings = {"epochs_step1": 1, "epochs_step2": 2, "batch_size": 35}
    changes = [f"system.settings.{key}={value}" for key, value in settings.items()]
    (point,) = load_points("dstc_digits", changes=changes)
    curves = runner.run(point.recipe, Path()).curves
    assert len(curves) == 2
    assert {"ce", "dstc", "val_cosine", "epoch", "seed"} <= set(curves[0])


def test_command_writes_a_result_that_the_table_prints(only_made: ClassSet, tmp_path: Path) -> None:
    run = CliRunner().invoke
    arguments = ["class-level", "cca_digits", "--root", str(tmp_path), "-o", str(tmp_path)]
    done = run(app, [*arguments, "--set", "seeds=[0, 1]"])
    assert done.exit_code == 0, done.output
    assert "digits CCA:" in done.output
    (result,) = json.loads((tmp_path / "cca_digits/result.json").read_text())
    assert {"recipe", "splits", "selections", "chance", "versions", "curves"} <= set(result)
    assert result["splits"][0]["test"] == list(range(95, 120))
    assert [(s["split"], s["seed"]) for s in result["selections"]] == [
        (0, 0),
        (1, 0),
        (0, 1),
        (1, 1),
    ]
    shown = run(app, ["table", "digits", "--runs", str(tmp_path)]).output
    mean = np.mean([s["metrics"]["both"] for s in result["selections"]])
    assert "chance" in shown
    assert f"{mean:.2f}±" in shown
    assert "runs: 4" in shown


@pytest.mark.parametrize("name", ["dstc-1", "dstc-2", "dstc-3", "dstc-4"])
def test_published_rows_are_marked_as_quoted(name: str, tmp_path: Path) -> None:
    lines = table_lines(name, tmp_path)
    assert "quoted" in " ".join(lines)
    assert f"no results for this table in '{tmp_path}'" in lines[-1]
    assert sum(line.startswith("PUBLISHED") for line in lines) >= 1


def test_a_wrong_table_gets_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no class-level table named 'dstc-5'; did you mean"):
        table_lines("dstc-5", tmp_path)
    assert write(tmp_path / "x", []).read_text() == "[]\n"
