"""`seehear-lab train | table | data`: output and exit codes, in this process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lab.generated_sets import write_set
from lab.test_cli import run
from media.media_clips import write_clip
from seehear.encoders.ast import AstTower
from seehear.encoders.clip import ClipTowers
from seehear.engine.clip_ast_files import ClipAstFiles
from seehear.media import probe, read_clip
from seehear.types import MediaSpec
from seehear_lab.datasets.spec import load_spec, open_dataset
from seehear_lab.experiments.recipe import load_recipe
from seehear_lab.experiments.tables import HEAD, table_rows
from seehear_lab.recipes.reader import list_recipes, read_toml
from tiny_towers import make_ast_folder, make_clip_folder
from waiting import LIMIT_S

CHANGES = ("train.batch_size=2", "train.steps=2", "data.holdout=1", "model.settings.dim=32")


def test_train_then_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    write_set(load_spec("msrvtt"), tmp_path / "data")
    make_clip_folder(tmp_path / "towers/clip")
    words = ["--root", tmp_path / "data", "--towers", tmp_path / "towers"]
    output = tmp_path / "runs/xpool_msrvtt9k/0"
    sets = [word for change in CHANGES for word in ("--set", change)]
    assert run(monkeypatch, "train", "xpool_msrvtt9k", *words, "-o", output, *sets) == 0
    text = capsys.readouterr().out
    assert "step 1: loss" in text
    assert "gallery 3 (2 with sound), selected on val" in text
    assert run(monkeypatch, "table", "tefal-3", "--runs", tmp_path / "runs") == 0
    lines = capsys.readouterr().out.splitlines()
    mine = next(line for line in lines if line.startswith("X-Pool"))
    assert mine.split()[2:5] == ["R@1", "46.9", mine.split()[4]]
    assert mine.endswith("1          val  plain *")
    wanted = "data.holdout=1, model.settings.dim=32, train.batch_size=2, train.steps=2"
    assert f"* X-Pool, ViT-B/32: {wanted}" in lines
    empty = next(line for line in lines if line.startswith("TEFAL, ViT-B/32"))
    assert empty.split()[3:] == ["R@1", "49.4"]
    same = ("compare", output, output / "run.txt", "--at", 5)
    assert run(monkeypatch, *same) == 0
    compared = capsys.readouterr().out.splitlines()
    assert compared[1] == "difference +0.0 points (+0.0 to +0.0), p = 1.000"
    assert "X-Pool, ViT-B/32: recipe xpool_msrvtt9k" in lines
    assert any(line.startswith("no recipe: OmniVL: pre-trained on 14M") for line in lines)
    assert run(monkeypatch, "table", "tefal-t1", "--runs", tmp_path / "runs") == 0
    lines = capsys.readouterr().out.splitlines()
    back = next(line for line in lines if line.startswith("X-Pool"))  # of the same run
    assert back.split()[5:7] == ["R@1", "44.4"] and back.endswith("val  plain *")


def test_weights_of_a_run_become_a_folder_for_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    write_set(load_spec("msrvtt"), tmp_path / "data")
    make_clip_folder(tmp_path / "towers/clip")
    make_ast_folder(tmp_path / "towers/ast")
    words = ["--root", tmp_path / "data", "--towers", tmp_path / "towers", "-o", tmp_path / "run"]
    sizes = ("--set", "model.settings.sound_dim=48", "--set", "train.steps=1")
    sets = [word for change in CHANGES for word in ("--set", change)]
    assert run(monkeypatch, "train", "tefal_msrvtt9k", *words, *sets, *sizes) == 0
    weights, folder = tmp_path / "run/best.safetensors", tmp_path / "weights"
    assert run(monkeypatch, "convert", "run", weights, "-o", folder) == 0
    assert f"then run: seehear index PATHS --models {folder}" in capsys.readouterr().out
    for name in ("clip/config.json", "clip/tokenizer.json", "ast/config.json"):
        (folder / name).write_bytes((tmp_path / "towers" / name).read_bytes())
    trained = load_file(weights)
    head = ClipAstFiles(folder).head().state_dict()
    assert all(torch.equal(head[name], trained[name]) for name in head)
    for part, model in (("clip", ClipTowers), ("ast", AstTower)):
        for name, value in model(folder / part).model.state_dict().items():
            assert torch.equal(value, trained[f"encoder.{part}.model.{name}"]), name
    assert run(monkeypatch, "convert", "run", tmp_path / "towers/clip/model.safetensors", "-o", "x")
    assert "there is no model.json next to the weights" in capsys.readouterr().err


def test_every_recipe_is_in_a_table_and_rows_without_runs_are_empty(tmp_path: Path) -> None:
    tables = {load_recipe(name).table for name in list_recipes()}
    for name in tables:
        rows = table_rows(name, tmp_path)
        assert rows[0] == HEAD
        assert all(row[3:] == ("",) * 5 for row in rows[1:])
    assert len(table_rows("tefal-8", tmp_path)) == 1 + 5 * 3
    recipes = {name: load_recipe(name) for name in list_recipes()}
    assert {recipe.run_of for recipe in recipes.values()} <= {"", *recipes}
    every = {name for recipe in recipes.values() for name in (recipe.table, *recipe.also_in)}
    path = Path(str(files("seehear_lab.experiments") / "tables.toml"))
    assert read_toml(path).keys() <= every


def test_wrong_names_get_a_suggestion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "table", "tefal8") == 2
    assert "no table named 'tefal8'; did you mean 'tefal-8'?" in capsys.readouterr().err
    assert run(monkeypatch, "data", "check", "charadez", "--root", tmp_path) == 2
    assert "did you mean 'charades'" in capsys.readouterr().err


def test_a_device_that_torch_cannot_use_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--root", tmp_path, "--towers", tmp_path, "-o", tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("cuda", "gpu"):
        assert run(monkeypatch, "train", "xpool_msrvtt9k", *words, "--device", name) == 2
        assert f"torch cannot use the device '{name}' here" in capsys.readouterr().err


def test_data_check_and_prepare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root, copies = tmp_path / "data", tmp_path / "copies"
    root.mkdir()
    ids = write_set(load_spec("charades"), root)
    assert run(monkeypatch, "data", "check", "charades", "--root", root) == 6
    assert "train: videos 3, published 7985" in capsys.readouterr().out
    prepare = ("data", "prepare", "charades", "--root", root, "-o", copies)
    assert run(monkeypatch, *prepare) == 0
    data = open_dataset("charades", copies)
    assert [text for _, text in data.captions("test")]
    made = sorted(set(data.files.values()))
    assert [path.stem for path in made] == sorted(ids["train"] + ids["test"])
    info = probe(made[0])
    assert (info.height, info.has_audio, round(info.duration_s)) == (224, True, 1)
    assert not probe(made[2]).has_audio
    clip = read_clip(made[0], 0, 1, MediaSpec(side_px=64, frames_per_s=3))
    assert clip.sound == "sound" and abs(clip.waveform).max() > 0.05
    stamps = [path.stat().st_mtime_ns for path in made]
    assert run(monkeypatch, *prepare) == 0  # nothing is made twice
    assert [path.stat().st_mtime_ns for path in made] == stamps


def test_captions_find_the_copies_of_their_videos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root, copies = tmp_path / "mine", tmp_path / "copies"
    (root / "sub").mkdir(parents=True)
    write_clip(root / "a.mp4", seconds=1)
    write_clip(root / "sub/a.mkv", seconds=1)
    write_clip(root / "sub/a.mov", seconds=1)
    lines = ('{"video": "a.mp4", "caption": "x"}', '{"video": "sub/a.mkv", "caption": "y"}')
    (root / "captions.train.jsonl").write_text("\n".join(lines))
    assert run(monkeypatch, "data", "check", "folder", "--root", root) == 0
    assert run(monkeypatch, "data", "prepare", "folder", "--root", root, "-o", copies) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "left out: a.mov (its copy would overwrite that of a.mkv)"
    data = open_dataset("folder", copies)
    assert [data.file(name) for name, _ in data.captions("train")] == [
        copies / "a.mp4",
        copies / "sub/a.mp4",
    ]


@pytest.mark.slow
def test_copying_resumes_after_a_kill(tmp_path: Path) -> None:
    root, copies = tmp_path / "mine", tmp_path / "copies"
    root.mkdir()
    names = [f"film{number:02}.mp4" for number in range(16)]
    for name in names:
        write_clip(root / name, seconds=8)
    lines = [json.dumps({"video": name, "caption": "x"}) + "\n" for name in names]
    (root / "captions.jsonl").write_text("".join(lines))
    words = [sys.executable, "-m", "seehear_lab", "data", "prepare", "folder"]
    words += ["--root", str(root), "-o", str(copies)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process, deadline = subprocess.Popen(words, env=environment), time.monotonic() + LIMIT_S
    while time.monotonic() < deadline and len(made := finished_copies(copies)) < 2:
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL, "it finished before it could be killed"
    before = {path: path.stat().st_mtime_ns for path in made}
    assert 2 <= len(finished_copies(copies)) < len(names)
    subprocess.run(words, env=environment, check=True)
    assert [path.name for path in finished_copies(copies)] == names
    assert all(probe(path).height == 224 for path in finished_copies(copies))
    assert {path: path.stat().st_mtime_ns for path in made} == before  # not made twice
    assert not list(copies.rglob("*.partial*"))


def finished_copies(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.mp4") if ".partial" not in path.name)


def test_a_missing_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (("data", "check", "msrvtt"), ("data", "check", "folder")):
        assert run(monkeypatch, *words, "--root", tmp_path / "nowhere") == 2
        assert "there is no folder" in capsys.readouterr().err
