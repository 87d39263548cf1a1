"""Unpacking data sets: tars, `datasets` on disk, and data sets for load_dataset."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab.small_hub import NAME, served
from lab.test_cli import run
from media.media_clips import write_clip
from seehear.errors import UsageError
from seehear.media import probe
from seehear_lab.datasets.spec import open_dataset
from seehear_lab.datasets.unpack import unpack
from waiting import LIMIT_S


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    noise = np.random.default_rng(0).normal(0, 0.2, 48000).astype(np.float32)
    return write_clip(tmp_path_factory.mktemp("clip") / "a.mp4", seconds=1, sounds=[noise])


def pack(path: Path, members: list[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def sample(key: str, clip: Path, row: Any) -> list[tuple[str, bytes]]:
    return [(f"{key}.mp4", clip.read_bytes()), (f"{key}.json", json.dumps(row).encode())]


def packed_folder(root: Path, clip: Path) -> Path:
    root.mkdir()
    train = sample("one/000", clip, {"caption": "a  red\npicture", "fps": 25})
    train += [*sample("one/001", clip, {"captions": ["noise", "a hiss"]}), ("../../x.mp4", b"?")]
    train += sample("number", clip, {"caption": 7})
    pack(root / "train-0000.tar", train)
    more = [("x.y.mp4", b"-"), ("/etc/002.MP4", clip.read_bytes()), ("/etc/002.txt", b"a colour")]
    pack(root / "train-0001.tar", more)
    pack(root / "0001.tar", sample("z", clip, {"text": "loud"}))
    return root


def test_tars_become_splits_of_a_folder(tmp_path: Path, clip: Path) -> None:
    source, target = packed_folder(tmp_path / "in", clip), tmp_path / "up/out"
    left_out = unpack(str(source), target)
    assert left_out == [
        "train-0000.tar/../../x (no caption in .json or .txt)",
        "train-0000.tar/number (no caption in .json or .txt)",
        "train-0001.tar/x (no video; it has .y.mp4)",
    ]
    data = open_dataset("folder", target)
    captions = data.captions("train")
    assert [text for _, text in captions] == ["a red picture", "noise", "a hiss", "a colour"]
    assert captions[1][0] == captions[2][0] == "train/000001_train-0000_tar_one_001.mp4"
    assert [text for _, text in data.captions("all")] == ["loud"]
    for name, _ in (*captions, *data.captions("all")):
        assert data.files[name].read_bytes() == clip.read_bytes()
        assert probe(data.files[name]).has_audio
    written = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*.mp4")}
    assert written == {"up"}  # nothing outside the target


def test_existing_videos_are_not_written_again(tmp_path: Path, clip: Path) -> None:
    source, target = packed_folder(tmp_path / "in", clip), tmp_path / "out"
    unpack(str(source), target)
    first, second, *_ = sorted((target / "train").iterdir())
    before = second.stat().st_mtime_ns
    first.unlink()
    unpack(str(source), target)
    assert first.read_bytes() == clip.read_bytes()
    assert second.stat().st_mtime_ns == before


def test_a_truncated_tar_gives_its_complete_samples(tmp_path: Path, clip: Path) -> None:
    two = [*sample("a", clip, "first"), *sample("b", clip, "second")]
    tar = pack(tmp_path / "train.tar", two)
    size = clip.stat().st_size
    tar.write_bytes(tar.read_bytes()[: 3 * 512 + 2 * size])  # in the video of b
    target = tmp_path / "out"
    left_out = unpack(str(tar), target)
    assert [text for _, text in open_dataset("folder", target).captions("train")] == ["first"]
    assert any("train.tar" in line for line in left_out)
    assert not list(target.rglob("*.partial"))


def test_datasets_on_disk_and_from_a_loader(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    rows = {"video": [str(clip), str(clip)], "caption": ["noise", "red"]}
    plain = datasets.Dataset.from_dict(rows)
    marked = plain.cast_column("video", datasets.Video())
    datasets.DatasetDict({"train": marked, "test": plain}).save_to_disk(tmp_path / "saved")
    for source, splits in ((tmp_path / "saved", ("train", "test")), (loader(tmp_path, clip), None)):
        target = tmp_path / f"out-{source.name}"
        assert unpack(str(source), target) == []
        data = open_dataset("folder", target)
        for split in splits or ("train",):
            assert [text for _, text in data.captions(split)] == ["noise", "red"]
            for name, _ in data.captions(split):
                assert data.files[name].read_bytes() == clip.read_bytes()
    datasets.Dataset.from_dict({"a": [1]}).save_to_disk(tmp_path / "wrong")
    with pytest.raises(UsageError, match="has the columns a; expected a column of videos"):
        unpack(str(tmp_path / "wrong"), tmp_path / "no")


@pytest.mark.slow
def test_a_data_set_on_the_hub(tmp_path: Path, clip: Path) -> None:
    pytest.importorskip("datasets")
    words = ["-m", "seehear_lab", "data", "unpack", NAME, "-o", str(tmp_path / "out")]
    with served(loader(tmp_path, clip)) as address:
        settings = {
            "HF_ENDPOINT": address,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_OFFLINE": "0",
        }
        paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
        ran = subprocess.run(
            [sys.executable, *words],
            env=os.environ | settings | paths,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
    assert (ran.returncode, ran.stdout) == (0, "train: videos 2, pairs 2\n"), ran.stderr
    data = open_dataset("folder", tmp_path / "out")
    captions = data.captions("train")
    assert [text for _, text in captions] == ["noise", "red"]
    assert all(data.files[name].read_bytes() == clip.read_bytes() for name, _ in captions)


def test_without_the_package_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UsageError, match=r"needs the package datasets; install seehear\[lab\]"):
        unpack(str(tmp_path), tmp_path / "out")


def loader(root: Path, clip: Path) -> Path:
    """A folder that `load_dataset` reads like a repository on the hub."""
    folder = root / "videos"
    (folder / "train").mkdir(parents=True)
    lines = []
    for name, caption in (("x.mp4", "noise"), ("y.mp4", "red")):
        (folder / "train" / name).write_bytes(clip.read_bytes())
        lines.append(json.dumps({"file_name": name, "caption": caption}) + "\n")
    (folder / "train/metadata.jsonl").write_text("".join(lines))
    return folder


def test_unpack_then_check(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = packed_folder(tmp_path / "in", clip), tmp_path / "out"
    assert run(monkeypatch, "data", "unpack", source, "-o", target) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["all: videos 1, pairs 1", "train: videos 3, pairs 4"]
    assert lines[2].startswith("left out: train-0000.tar/../../x (no caption")
    assert run(monkeypatch, "data", "check", "folder", "--root", target) == 0
    assert "train: videos 3, pairs 4" in capsys.readouterr().out
    assert run(monkeypatch, "data", "unpack", tmp_path / "no.tar", "-o", target) == 2
    assert "there is no file" in capsys.readouterr().err
