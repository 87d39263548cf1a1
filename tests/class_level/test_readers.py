"""Readers on real files, and on generated files in the layout of the other sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seehear.errors import NothingDoneError, UsageError
from seehear_lab.class_level.metrics import chance
from seehear_lab.class_level.pairs import ClassPairs, scale_features, split_balanced, split_rest
from seehear_lab.class_level.readers import class_counts, read_set, seen_classes


@pytest.fixture(scope="module")
def root(shared_data: Path) -> Path:
    return shared_data / "data"


@pytest.mark.parametrize(
    ("name", "dims"), [("wikipedia_cnn", (128, 100)), ("wikipedia_sift", (128, 10))]
)
def test_wikipedia_has_ten_splits(root: Path, name: str, dims: tuple[int, int]) -> None:
    data = read_set(name, root)
    assert (data.pairs.x.shape, data.pairs.y.shape) == ((2866, dims[0]), (2866, dims[1]))
    assert len(data.splits) == 10
    for split in data.splits:
        assert (len(split.train), len(split.val), len(split.test)) == (2173, 231, 462)
        assert sorted([*split.train, *split.val, *split.test]) == list(range(2866))
    assert data.class_names[0] == "art"
    listed = (root / "wikipedia/testset_txt_img_cat.list").read_text("utf-8").splitlines()
    assert data.pairs.labels[2173:].tolist() == [int(line.split("\t")[2]) - 1 for line in listed]


def test_chance_levels_match_known_values(root: Path) -> None:
    labels = read_set("wikipedia_cnn", root).pairs.labels[2173:]
    assert chance(labels, labels).map == pytest.approx(11.9, abs=0.1)
    counts = class_counts(root / "audiosetzsl", "tst")
    names = seen_classes(root / "audiosetzsl")
    labels = np.repeat(np.arange(23), [counts[name] for name in names])
    assert chance(labels, labels).map == pytest.approx(14.4, abs=0.1)
    assert chance(labels, labels).class_map == pytest.approx(4.4, abs=0.1)


def test_audiosetzsl_has_the_published_counts(root: Path) -> None:
    counts = [class_counts(root / "audiosetzsl", part) for part in ("trn", "val", "tst")]
    assert [count.total() for count in counts] == [79_795, 26_587, 26_593]
    assert (counts[0]["car"], counts[0]["cashbox"]) == (22_989, 176)


def test_pascal_reads_dscmrs_files_and_names_a_missing_one(root: Path, tmp_path: Path) -> None:
    from scipy.io import savemat

    source = root / "pascal_sentence"
    with pytest.raises(NothingDoneError, match=r"train_img\.mat' is missing"):
        read_set("pascal", root)
    folder = tmp_path / "pascal_sentence"
    folder.mkdir()
    for path in source.glob("*.mat"):
        (folder / path.name).symlink_to(path)
    savemat(folder / "train_img.mat", {"train_img": np.ones((800, 4096), np.float32)})
    data = read_set("pascal", tmp_path)
    split = data.splits[0]
    assert (len(split.train), len(split.test)) == (800, 100)
    assert data.pairs.x[split.test].std() == pytest.approx(0.406, abs=1e-3)  # the real ones
    assert np.bincount(data.pairs.labels[split.train]).tolist() == [40] * 20
    assert np.bincount(data.pairs.labels[split.test]).tolist() == [5] * 20


def test_digits_share_no_recording_and_no_picture_between_parts(root: Path) -> None:
    data = read_set("digits", root)
    split = data.splits[0]
    assert (len(split.train), len(split.val), len(split.test)) == (2400, 300, 300)
    shown = [{row.tobytes() for row in data.pairs.y[rows]} for rows in vars(split).values()]
    assert [len(each) for each in shown[1:]] == [300, 300]
    assert not shown[0] & shown[1] | shown[0] & shown[2] | shown[1] & shown[2]


def write_audiosetzsl(folder: Path, *, lost: bool = False) -> None:
    """23 classes, a few clips each, video rows in another order than audio rows."""
    h5py = pytest.importorskip("h5py", reason="h5py of the extra [lab] is not installed")
    names = [f"class{at:02d}" for at in range(23)]
    folder.mkdir()
    (folder / "seen_class.txt").write_text("".join(f"{name}\n" for name in names))
    for at, part in enumerate(("trn", "val", "tst")):
        for name in names:
            clips = [f"{part}-{name}-{clip}" for clip in range(4 - at)]
            for side, step in (("audio", 1), ("video", -1)):
                path = folder / "features" / side / part / f"{name}.h5"
                path.parent.mkdir(parents=True, exist_ok=True)
                kept = clips[1:] if lost and side == "video" else clips
                rows = [[float(hash_of(clip))] * 3 for clip in kept]
                with h5py.File(path, "w") as file:
                    file["data"] = np.array(rows[::step], np.float32)
                    file["video_urls"] = [clip.encode() for clip in kept[::step]]


def hash_of(clip: str) -> int:
    return sum(at * ord(letter) for at, letter in enumerate(clip)) % 997


def test_audiosetzsl_pairs_sound_and_picture_by_clip(tmp_path: Path) -> None:
    write_audiosetzsl(tmp_path / "audiosetzsl")
    data = read_set("audiosetzsl", tmp_path)
    split = data.splits[0]
    assert (len(split.train), len(split.val), len(split.test)) == (23 * 4, 23 * 3, 23 * 2)
    np.testing.assert_array_equal(data.pairs.x, data.pairs.y)
    assert np.bincount(data.pairs.labels[split.test]).tolist() == [2] * 23


def test_audiosetzsl_refuses_clips_without_a_partner(tmp_path: Path) -> None:
    write_audiosetzsl(tmp_path / "audiosetzsl", lost=True)
    with pytest.raises(NothingDoneError, match="in trn have different clips"):
        read_set("audiosetzsl", tmp_path)


def test_a_wrong_name_gets_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no class-level data set named 'wiki'.*wikipedia_cnn"):
        read_set("wiki", tmp_path)


def test_splits_depend_on_their_seeds() -> None:
    first, again = split_rest(5, 9, test=6, times=3), split_rest(5, 9, test=6, times=3)
    assert all((a.test == b.test).all() for a, b in zip(first, again, strict=True))
    assert not (first[0].test == first[1].test).all()
    labels = np.repeat(np.arange(4), 10)
    for split in split_balanced(labels, parts=(2, 3), times=2):
        assert sorted([*split.train, *split.val, *split.test]) == list(range(40))
        assert np.bincount(labels[split.test]).tolist() == [3] * 4


def test_features_are_scaled_by_the_training_rows() -> None:
    rng = np.random.default_rng(0)
    x, y = (rng.normal(3, 5, size=(20, 4)).astype(np.float32) for _ in "xy")
    x[:, 2] = 7  # a column that never changes
    pairs, train = ClassPairs(x=x, y=y, labels=np.zeros(20, int)), np.arange(15)
    even = scale_features(pairs, train, "zscore")
    np.testing.assert_allclose(even.y[:15].mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(even.y[:15].std(0), 1, atol=1e-6)
    assert (even.x[:, 2] == 0).all()
    long = scale_features(pairs, train, "published_norms")
    lengths = [np.linalg.norm(side[:15], axis=1).mean() for side in (long.x, long.y)]
    np.testing.assert_allclose(lengths, [25, 15], rtol=1e-5)
    assert scale_features(pairs, train, "none") is pairs
