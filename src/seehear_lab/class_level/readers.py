"""Readers of the class-level data sets in the layout of their authors."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from seehear.errors import NothingDoneError, UsageError, suggest
from seehear_lab.class_level.digits import read_digits
from seehear_lab.class_level.pairs import (
    ClassPairs,
    ClassSet,
    ClassSplit,
    pairs_of,
    split_balanced,
    split_rest,
)

SEEN = 23  # classes of AudioSetZSL that DSTC uses


def read_set(name: str, root: Path) -> ClassSet:
    """Read a data set by name; `root` has one folder per set.

    Raises: UsageError for an unknown name; NothingDoneError if a file is missing.
    """
    if name not in READERS:
        raise UsageError(f"no class-level data set named {name!r}{suggest(name, READERS)}")
    folder, read = READERS[name]
    return read(root / folder)


def _wikipedia_cnn(folder: Path) -> ClassSet:
    arrays = _read_mat(folder / "wiki_cnn128_text100.mat")["data"][0, 0]
    labels = arrays["Y"].T.argmax(1)
    return _wikipedia(folder, "CNN-128 + text-100", arrays["X1"].T, arrays["X2"].T, labels)


def _wikipedia_sift(folder: Path) -> ClassSet:
    arrays = _read_mat(folder / "wiki_sift128_lda10.mat")
    x, y = (np.concatenate([arrays[f"{side}_tr"], arrays[f"{side}_te"]]) for side in "IT")
    labels = np.concatenate([arrays["L_tr"].ravel(), arrays["L_te"].ravel()]).astype(int) - 1
    return _wikipedia(folder, "SIFT-128 + LDA-10", x, y, labels)


def _wikipedia_2010(folder: Path) -> ClassSet:
    """The protocol of 2010: all other 693 pairs are test pairs, without validation."""
    data, rest = _wikipedia_sift(folder), np.arange(2173, 2866)
    return replace(data, splits=(ClassSplit(train=data.splits[0].train, val=rest[:0], test=rest),))


def _wikipedia(
    folder: Path, features: str, x: np.ndarray, y: np.ndarray, labels: np.ndarray
) -> ClassSet:
    """2173 of 2866 pairs train; ten random splits of the others into 462 test, 231 validation."""
    return ClassSet(
        name="wikipedia",
        features=features,
        x_name="image",
        y_name="text",
        pairs=pairs_of(x, y, labels),
        splits=split_rest(2173, 693, test=462, times=10),
        class_names=tuple(_require(folder / "categories.list").read_text("utf-8").split()),
    )


def _pascal(folder: Path) -> ClassSet:
    """DSCMR's files: 800 training and 100 test pairs; there are no validation pairs."""
    parts = [
        pairs_of(
            _read_mat(folder / f"{part}_img.mat")[f"{part}_img"],
            _read_mat(folder / f"{part}_txt.mat")[f"{part}_txt"],
            _read_mat(folder / f"{part}_img_lab.mat")[f"{part}_img_lab"].ravel(),
        )
        for part in ("test", "train")
    ]
    test, train = np.arange(len(parts[0])), np.arange(len(parts[1])) + len(parts[0])
    return ClassSet(
        name="pascal",
        features="VGG19-4096 + sentence CNN-300, fine-tuned by DSCMR's authors",
        x_name="image",
        y_name="text",
        pairs=concat_pairs(parts),
        splits=(ClassSplit(train=train, val=test, test=test),),
        class_names=tuple(str(label) for label in range(20)),
    )


def _pascal_open(folder: Path) -> ClassSet:
    """Your own features in pascal.npz (image, text, labels): ten balanced 800/100/100 splits."""
    with np.load(_require(folder / "pascal.npz")) as arrays:
        pairs = pairs_of(arrays["image"], arrays["text"], arrays["labels"])
    return ClassSet(
        name="pascal",
        features="own features",
        x_name="image",
        y_name="text",
        pairs=pairs,
        splits=split_balanced(pairs.labels, parts=(5, 5), times=10),
        class_names=tuple(str(label) for label in np.unique(pairs.labels)),
    )


def _audiosetzsl(folder: Path) -> ClassSet:
    """AudioSetZSL: features/{audio,video}/{trn,val,tst}/CLASS.h5 of 23 classes.

    Raises: NothingDoneError if the clips of a class differ between the modalities.
    """
    names = seen_classes(folder)
    parts, sizes = [], []
    for split in ("trn", "val", "tst"):
        sides = [_class_files(folder / "features", split, name) for name in names]
        labels = np.repeat(np.arange(len(names)), [len(audio) for audio, _ in sides])
        x, y = (np.concatenate([side[at] for side in sides]) for at in (0, 1))
        parts.append(pairs_of(x, y, labels))
        sizes.append(len(labels))
    ends = np.cumsum([0, *sizes])
    rows = [np.arange(start, end) for start, end in pairwise(ends)]
    return ClassSet(
        name="audiosetzsl",
        features="audio CNN-1024 + I3D-1024",
        x_name="audio",
        y_name="video",
        pairs=concat_pairs(parts),
        splits=(ClassSplit(train=rows[0], val=rows[1], test=rows[2]),),
        class_names=names,
    )


def _class_files(folder: Path, split: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Audio and video features of a class, both in the order of the audio file."""
    (audio, audio_ids), (video, video_ids) = (
        read_features(folder / side / split / f"{name}.h5") for side in ("audio", "video")
    )
    row = {clip: at for at, clip in enumerate(video_ids)}
    if sorted(audio_ids) != sorted(video_ids) or len(row) != len(video_ids):
        raise NothingDoneError(
            f"the audio and video features of class {name!r} in {split} have different clips "
            f"({len(audio_ids)} and {len(video_ids)}); download them again"
        )
    return audio, video[[row[clip] for clip in audio_ids]]


def read_features(path: Path) -> tuple[np.ndarray, list[str]]:
    """Features and clip ids (`data` and `video_urls`) of one HDF5 file of AudioSetZSL."""
    import h5py

    with h5py.File(_require(path), "r") as file:
        urls = [url.decode() if isinstance(url, bytes) else str(url) for url in file["video_urls"]]
        return np.asarray(file["data"], dtype=np.float32), urls


def seen_classes(folder: Path) -> tuple[str, ...]:
    """The 23 classes that DSTC trains on, in the authors' order.

    Raises: NothingDoneError if seen_class.txt has another number of classes.
    """
    path = folder / "seen_class.txt"
    names = tuple(line.strip(",'") for line in _require(path).read_text("utf-8").split())
    if len(names) != SEEN:
        raise NothingDoneError(f"expected {SEEN} classes in '{path}', found {len(names)}")
    return names


def class_counts(folder: Path, split: str) -> Counter[str]:
    """The number of clips of every seen class in `trn`, `val` or `tst`, from the split list."""
    names = set(seen_classes(folder))
    with gzip.open(_require(folder / "splits.csv.gz"), "rt", encoding="utf-8") as lines:
        rows = csv.DictReader(lines)
        return Counter(r["class"] for r in rows if r["split"] == split and r["class"] in names)


def concat_pairs(parts: Sequence[ClassPairs]) -> ClassPairs:
    """Concatenate pairs."""
    x, y, labels = (
        np.concatenate([getattr(p, name) for p in parts]) for name in ("x", "y", "labels")
    )
    return ClassPairs(x=x, y=y, labels=labels)


def _read_mat(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat

    return loadmat(_require(path))


def _require(path: Path) -> Path:
    if not path.is_file():
        raise NothingDoneError(
            f"'{path}' is missing; docs/class-level.md says where its authors publish it"
        )
    return path


READERS: dict[str, tuple[str, Callable[[Path], ClassSet]]] = {
    "wikipedia_cnn": ("wikipedia", _wikipedia_cnn),
    "wikipedia_2010": ("wikipedia", _wikipedia_2010),
    "wikipedia_sift": ("wikipedia", _wikipedia_sift),
    "pascal": ("pascal_sentence", _pascal),
    "pascal_open": ("pascal_sentence", _pascal_open),
    "audiosetzsl": ("audiosetzsl", _audiosetzsl),
    "digits": ("fsdd", lambda folder: read_digits(_require(folder / "recordings.zip"))),
}
