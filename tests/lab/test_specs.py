"""Specs parse, match the papers and read their layouts; `check` finds problems."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from lab.generated_sets import EACH, write_set
from seehear.errors import UsageError
from seehear_lab.datasets.captions import READERS
from seehear_lab.datasets.check import NO_AUDIO, check
from seehear_lab.datasets.spec import DataSet, list_specs, load_spec, open_dataset, spec_of_folder

COUNTS = {  # (videos, pairs) of the papers
    ("msrvtt", "train_full"): (6513, 130260),
    ("msrvtt", "val_full"): (497, 9940),
    ("msrvtt", "test_full"): (2990, 59800),
    ("msrvtt", "train7k"): (7010, 140200),
    ("msrvtt", "train9k"): (9000, 180000),
    ("msrvtt", "test1k_a"): (1000, 1000),
    ("msrvtt", "train1k_b"): (6656, 0),
    ("msrvtt", "test1k_b"): (1000, 0),
    ("msvd", "train"): (1200, 48774),
    ("msvd", "val"): (100, 4290),
    ("msvd", "test"): (670, 27763),
    ("lsmdc", "train"): (0, 101079),
    ("lsmdc", "val"): (0, 7408),
    ("lsmdc", "test"): (1000, 1000),
    ("vatex", "train"): (25991, 259910),
    ("vatex", "val"): (1500, 15000),
    ("vatex", "test"): (1500, 15000),
    ("charades", "train"): (7985, 7985),
    ("charades", "test"): (1863, 1863),
    ("didemo", "train"): (8395, 8395),
    ("didemo", "val"): (1065, 1065),
    ("didemo", "test"): (1004, 1004),
    ("activitynet", "train"): (10009, 10009),
    ("activitynet", "test"): (4917, 4917),
}


def test_counts_match_the_papers() -> None:
    found = {
        (name, split): (part.videos, part.pairs)
        for name in list_specs()
        for split, part in load_spec(name).splits.items()
    }
    assert found == COUNTS
    full = [load_spec("msrvtt").splits[f"{part}_full"] for part in ("train", "val", "test")]
    assert sum(split.videos for split in full) == 10000
    assert sum(split.pairs for split in full) == 200000


@pytest.mark.parametrize("name", list_specs())
def test_a_spec_reads_its_layout(name: str, tmp_path: Path) -> None:
    spec = load_spec(name)
    ids = write_set(spec, tmp_path)
    data = DataSet(spec, tmp_path)
    for split, part in spec.splits.items():
        assert part.captions.reader in READERS
        captions = data.captions(split)
        assert list(dict.fromkeys(video for video, _ in captions)) == ids[split]
        assert {video for video, _ in captions} <= data.files.keys()
        if part.captions.pairing == "paragraph":
            assert len(captions) == EACH
            assert captions[0][1].endswith("the song of a drum")
        elif part.pairs > part.videos > 0:
            assert len(captions) == 2 * EACH


def test_check_reports_counts_and_problems_and_writes_no_audio(tmp_path: Path) -> None:
    spec = load_spec("msrvtt")
    ids = write_set(spec, tmp_path)
    folder = tmp_path / spec.videos
    (folder / f"{ids['test1k_a'][0]}.mp4").unlink()
    broken = folder / f"{ids['test1k_a'][1]}.mp4"
    broken.unlink()
    broken.write_bytes(b"no video at all")
    found = check(DataSet(spec, tmp_path))
    text = "\n".join(found.lines)
    assert "test1k_a: videos 3, pairs 3" in text
    assert "test1k_a: videos 3, published 1000" in text
    assert f"missing videos: 1 of 24: {ids['test1k_a'][0]}" in text
    assert f"unreadable videos: 1: {ids['test1k_a'][1]}" in text
    assert "published: 8811 of 10000 with a sound track" in text
    silent = (tmp_path / NO_AUDIO).read_text().split()
    assert silent == sorted(videos[-1] for videos in ids.values())
    assert found.problems > 2


def test_every_spec_has_a_source_and_known_faults() -> None:
    for name in list_specs():
        spec = load_spec(name)
        assert spec.title and spec.licence and spec.obtain and spec.known, name
        assert all(split.videos or split.pairs for split in spec.splits.values()), name


def test_check_compares_the_hashes_of_list_files(tmp_path: Path) -> None:
    spec = load_spec("charades")
    write_set(spec, tmp_path)
    file = tmp_path / "Charades_v1_test.csv"
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    same = check(DataSet(replace(spec, sha256={file.name: found}), tmp_path))
    assert f"{file.name}: sha256 {found}" in same.lines
    other = check(DataSet(replace(spec, sha256={file.name: "0" * 64}), tmp_path))
    assert f"{file.name} differs from the file in the spec (sha256)" in other.lines
    assert other.problems == same.problems + 1


def test_a_missing_list_says_how_to_get_it(tmp_path: Path) -> None:
    found = check(DataSet(load_spec("charades"), tmp_path))
    assert any("Charades_v1_train.csv' is missing; prior.allenai.org" in x for x in found.lines)


def test_a_folder_without_a_spec(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"neither captions\.jsonl nor captions\.SPLIT"):
        spec_of_folder(tmp_path)
    (tmp_path / "captions.csv").write_text('video,caption\na.mp4,"a dog, barking"\n')
    assert DataSet(spec_of_folder(tmp_path), tmp_path).captions("all") == [
        ("a.mp4", "a dog, barking")
    ]
    lines = tmp_path / "captions.jsonl"
    lines.write_text(json.dumps({"video": "b/c.mp4", "caption": "rain"}) + "\n")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/c.mp4").touch()
    data = DataSet(spec_of_folder(tmp_path), tmp_path)
    assert data.captions("all") == [("b/c.mp4", "rain")]
    assert data.file("b/c.mp4") == data.file("b/c.avi") == tmp_path / "b/c.mp4"
    lines.write_text('{"video": "x.mp4"}\n')
    with pytest.raises(UsageError, match="line 1 of"):
        data.captions("all")
    (tmp_path / "captions.test.csv").write_text("video,caption\nb/c.mp4,hail\n")
    data = open_dataset("folder", tmp_path)
    assert data.spec.splits.keys() == {"all", "test"}
    assert data.captions("test") == [("b/c.mp4", "hail")]


def test_wrong_names_get_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'msrvtt'"):
        load_spec("msr-vtt")
    with pytest.raises(UsageError, match="did you mean 'train9k'"):
        DataSet(load_spec("msrvtt"), tmp_path).captions("train9")
