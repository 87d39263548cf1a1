"""Every recipe names existing things; runs report both stages, held-out videos, skipped files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lab.generated_sets import write_set
from seehear.errors import MediaError, UsageError
from seehear.models import build_model, list_models
from seehear.models.clip4clip import SeqTransf
from seehear_lab.datasets.spec import list_specs, load_spec
from seehear_lab.evaluate.report import read_results
from seehear_lab.evaluate.trec import RUN, compare_runs
from seehear_lab.experiments.data import read_splits
from seehear_lab.experiments.model import new_model
from seehear_lab.experiments.recipe import load_recipe
from seehear_lab.experiments.record import RESULTS
from seehear_lab.experiments.run import RunPaths, run_recipe
from seehear_lab.experiments.tables import find_results
from seehear_lab.recipes.reader import list_recipes, with_changes
from tiny_towers import make_clip_folder
from waiting import LIMIT_S

Generated = Callable[[str], Path]
CPU = torch.device("cpu")
SMALL = ("train.batch_size=2", "train.steps=1", "clips.workers=1")


@pytest.mark.parametrize("name", list_recipes())
def test_a_recipe_names_existing_things(name: str, variants: None) -> None:
    recipe = load_recipe(name)
    assert recipe.model.name in list_models()
    assert recipe.data.set in list_specs()
    splits = load_spec(recipe.data.set).splits
    named = [recipe.data.train, recipe.data.test, *filter(None, [recipe.data.val])]
    assert set(named) <= splits.keys()
    assert recipe.published.keys() <= {"r1", "r5", "r10", "mdr", "mnr", "map"}
    with torch.device("meta"):
        build_model(recipe.model.name, **recipe.model.settings)


def test_one_run_has_the_rows_of_both_stages(
    towers: Path, tmp_path: Path, generated: Generated
) -> None:
    sizes = ("model.settings.dim=32", "model.settings.sound_dim=48", "data.holdout=0")
    recipe = load_recipe("tefal_charades_rerank", changes=[*SMALL, *sizes, "clips.frames=4"])
    output = tmp_path / "tefal_charades_rerank/0"
    paths = RunPaths(root=generated("charades"), towers=towers, output=output)
    plain, _, reranked, stage1 = run_recipe("x", recipe, paths, device=CPU)
    assert reranked.about["reranked"] == 1 and stage1.about["stage1"]
    found_by_it = reranked.about["stage1_recall"]  # one item of three is kept; two are the same
    assert stage1.pessimistic_r1 <= found_by_it == reranked.metrics.r1 <= stage1.optimistic_r1
    assert compare_runs(output / "run.reranked.txt", output / RUN, at=1).queries == 3
    assert (output / "run.stage1.txt").read_text() != (output / RUN).read_text()
    for name, result in (("rerank", reranked), ("stage1", stage1)):
        row = load_recipe(f"tefal_charades_{name}")
        assert find_results(tmp_path / "tefal_charades_rerank", row) == [result]
    row = load_recipe("tefal_charades")
    assert find_results(tmp_path / "tefal_charades_rerank", row) == [plain]


def test_published_numbers_match_the_papers(shared_data: Path) -> None:
    quoted = {"tefal": "tefal.txt", "ts2net": "ts2net-supplement.txt"}
    quoted["avma"] = "avma-supplement.txt"
    for name in list_recipes():
        recipe = load_recipe(name)
        file = quoted.get(recipe.table.partition("-")[0])
        if file:
            lines = (shared_data / "papers" / file).read_text(encoding="utf-8").splitlines()
            numbers = [f"{value:.1f}" for value in recipe.published.values()]
            rows = [re.sub(r"<.*?>|\*", "", line).split() for line in lines]
            assert any(_in_order(numbers, row) for row in rows), (name, numbers)


def _in_order(wanted: list[str], row: list[str]) -> bool:
    """True if the numbers are consecutive cells of a row; papers print MdR as 2 or 2.0."""
    cells = [f"{float(cell):.1f}" if _is_number(cell) else cell for cell in row]
    return any(cells[at : at + len(wanted)] == wanted for at in range(len(cells)))


def _is_number(cell: str) -> bool:
    return cell.isascii() and cell.replace(".", "", 1).isdigit()


def test_a_transformer_over_frames_is_initialised_from_the_text_tower(tmp_path: Path) -> None:
    make_clip_folder(tmp_path / "clip", dim=48, wide=192)  # of the shape of published CLIPs
    changes = ("model.settings.dim=48", "model.settings.positions=39")
    model = new_model(load_recipe("clip4clip_msrvtt9k_seqtransf", changes=changes), tmp_path)
    assert isinstance(model, SeqTransf)
    over_time = model.temporal.transformer
    text = model.encoder.clip.model.text_model
    first, given = over_time.blocks[0], text.encoder.layers[0]
    assert torch.equal(first.widen.weight, given.mlp.fc1.weight)
    assert torch.equal(first.qkv.bias[48:96], given.self_attn.k_proj.bias)
    paths = text.embeddings.position_embedding.weight
    assert torch.equal(over_time.position.weight[::2], paths)  # 20 paths over 39
    between = (paths[3] + paths[4]) / 2
    torch.testing.assert_close(over_time.position.weight[7], between)


def test_qb_norm_takes_its_bank_from_training(
    towers: Path, tmp_path: Path, generated: Generated
) -> None:
    changes = ("model.settings.dim=32", "evaluate.correction=qb_norm", "data.holdout=0")
    recipe = load_recipe("xpool_charades", changes=[*SMALL, *changes, "clips.frames=4"])
    paths = RunPaths(root=generated("charades"), towers=towers, output=tmp_path)
    results = run_recipe("x", recipe, paths, device=CPU)
    assert [result.label for result in results] == ["plain", "plain", "inductive"]


def test_training_on_a_folder_without_a_spec(
    towers: Path, tmp_path: Path, generated: Generated
) -> None:
    root, own = tmp_path / "mine", tmp_path / "mine.toml"
    root.mkdir()
    videos = sorted((generated("charades") / load_spec("charades").videos).glob("*.mp4"))
    for split, rows in (("train", videos[:3]), ("test", videos[:2])):
        lines = [
            {"video": f"{at}.mp4", "caption": text, "provenance": source}
            for at, _ in enumerate(rows)
            for text, source in ((f"a dog {at}", "human"), (f"the car {at}", ""))
        ]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (root / f"captions.{split}.jsonl").write_text(text)
    for at, path in enumerate(videos[:3]):
        (root / f"{at}.mp4").hardlink_to(path)
    own.write_text(
        'based_on = "xpool_msrvtt9k"\n[data]\nset = "folder"\ntrain = "train"\ntest = "test"\n'
        "holdout = 1\n[evaluate]\ntrec = 1\n"
    )
    recipe = load_recipe(str(own), changes=[*SMALL, "model.settings.dim=32"])
    paths = RunPaths(root=root, towers=towers, output=tmp_path / "run")
    results = run_recipe("mine", recipe, paths, device=CPU)
    directions = [result.direction for result in results]
    assert directions == ["t2v", "v2t_grouped", "v2t_any_caption"]
    parts = {name: part.queries for name, part in results[0].parts.items()}
    assert (parts["human"], parts["unnamed"]) == (2, 2)
    assert "human" not in results[1].parts
    assert len((tmp_path / "run/run.txt").read_text().splitlines()) == 4
    assert (tmp_path / "run/qrels.txt").read_text().splitlines()[0] == "0.mp4#0 0 0.mp4 1"


def test_held_out_videos_are_not_trained_on(generated: Generated) -> None:
    recipe = load_recipe("xpool_msrvtt9k", changes=["data.holdout=1"])
    splits = read_splits(recipe.data, generated("msrvtt"))
    held_out = {pair.path for pair in splits.val}
    assert len(held_out) == 1
    assert not held_out & {pair.path for pair in splits.train}
    assert len(splits.val) == 2 and len(splits.train) == 4 and splits.missing == 0


def test_selection_on_test_is_reported(generated: Generated) -> None:
    selected_on = {}
    for val in ("val", "test", ""):
        recipe = load_recipe("xpool_msvd", changes=[f"data.val={val!r}"])
        selected_on[val] = read_splits(recipe.data, generated("msvd")).selected_on
    assert selected_on == {"val": "val", "test": "test", "": "last step"}
    leaking = load_recipe("xpool_msvd", changes=["data.train=test"])
    assert read_splits(leaking.data, generated("msvd")).shared_with_test("train") == 3


def test_an_unreadable_video_stops_a_run_before_training_or_is_skipped_and_named(
    towers: Path, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    root.mkdir()
    ids = write_set(load_spec("charades"), root)
    for split in ("train", "test"):
        broken = root / load_spec("charades").videos / f"{ids[split][0]}.mp4"
        broken.unlink()
        broken.write_bytes(b"no video at all")
    changes = [*SMALL, "model.settings.dim=32", "data.holdout=0", "clips.frames=4"]
    recipe = load_recipe("xpool_charades", changes=changes)
    paths = RunPaths(root=root, towers=towers, output=tmp_path / "run")
    with pytest.raises(MediaError, match=ids["test"][0]):
        run_recipe("x", recipe, paths, device=CPU)
    assert not (tmp_path / "run").exists()  # nothing was trained
    skipping = load_recipe("xpool_charades", changes=[*changes, "clips.on_unread=skip"])
    results = run_recipe("x", skipping, paths, device=CPU)
    assert results[0].gallery == 2
    unread = "".join(results[0].about["unread"])
    assert ids["test"][0] in unread
    train_only = load_recipe(
        "xpool_charades", changes=[*changes, "clips.on_unread=skip", "train.batch_size=3"]
    )
    paths = RunPaths(root=root, towers=towers, output=tmp_path / "other")
    about = run_recipe("x", train_only, paths, device=CPU)[0].about
    assert ids["train"][0] in "".join(about["unread"])


@pytest.mark.slow
def test_two_processes_skip_a_video_that_one_cannot_read(towers: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    broken = write_set(load_spec("msrvtt"), root)["train9k"][1]
    path = root / load_spec("msrvtt").videos / f"{broken}.mp4"
    path.unlink()
    path.write_bytes(b"no video at all")
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    words += ["-m", "seehear_lab", "train", "xpool_msrvtt9k", "--root", str(root)]
    words += ["--towers", str(towers), "-o", str(tmp_path / "run")]
    changes = ("model.settings.dim=32", "train.batch_size=6", "train.steps=2", "data.holdout=0")
    for change in (*changes, "clips.on_unread=skip"):
        words += ["--set", change]
    settings = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(words, env=settings, capture_output=True, text=True, timeout=LIMIT_S)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("t2v plain") == 1  # only the first process prints
    result = read_results(tmp_path / "run" / RESULTS)[0]
    assert result.gallery == 3 and broken in "".join(result.about["unread"])


def test_towers_of_another_size_are_refused(
    towers: Path, tmp_path: Path, generated: Generated
) -> None:
    paths = RunPaths(root=generated("msrvtt"), towers=towers, output=tmp_path)
    with pytest.raises(UsageError, match=r"have dim 32, the recipe has 512"):
        run_recipe("x", load_recipe("xpool_msrvtt9k"), paths, device=CPU)


def test_unknown_keys_and_wrong_values_are_refused() -> None:
    with pytest.raises(UsageError, match="no recipe named 'tefal_msrvtt9'; did you mean"):
        load_recipe("tefal_msrvtt9")
    with pytest.raises(UsageError, match=r"train has no setting 'bach_size'; did you mean 'batch"):
        load_recipe("xpool_msrvtt9k", changes=["train.bach_size=3"])
    with pytest.raises(UsageError, match="expected a value of type int"):
        load_recipe("xpool_msrvtt9k", changes=["train.batch_size=many"])
    with pytest.raises(UsageError, match="did you mean 'infonce_sum'"):
        load_recipe("xpool_msrvtt9k", changes=["train.loss=infonce_sun"])
    with pytest.raises(UsageError, match=r"write it as train\.batch_size=12"):
        load_recipe("xpool_msrvtt9k", changes=["train.batch_size"])


def test_changes_do_not_modify_the_table() -> None:
    table = {"train": {"lr": 1e-5}}
    assert with_changes(table, ["train.lr=2e-5", "a.b=word"]) == {
        "train": {"lr": 2e-5},
        "a": {"b": "word"},
    }
    assert table == {"train": {"lr": 1e-5}}


def test_a_recipe_from_a_file(tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    own.write_text('based_on = "xpool_msrvtt9k"\nrow = "mine"\n[train]\nlr = 1e-4\n')
    recipe = load_recipe(str(own))
    assert (recipe.row, recipe.train.lr, recipe.train.batch_size) == ("mine", 1e-4, 32)
