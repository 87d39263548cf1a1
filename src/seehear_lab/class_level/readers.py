"""The four data sets as their authors publish them -> pairs with classes, and their cuts."""

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

from seehear.errors import NothingDoneError, UsageError
from seehear_lab.class_level.digits import read_digits
from seehear_lab.class_level.pairs import (
    ClassSet,
    Cut,
    Pairs,
    cut_balanced,
    cut_rest,
    pairs_of,
)

SEEN = 23  # classes of AudioSetZSL that DSTC uses


def read_set(name: str, root: Path) -> ClassSet:
    """A data set by name, from the folder that holds all of them.

    Raises: UsageError for another name; NothingDoneError where a file is not there.
    """
    if name not in READERS:
        raise UsageError(f"no class-level data set named {name!r}; Known: {', '.join(READERS)}")
    folder, read = READERS[name]
    return read(root / folder)


def _wikipedia_cnn(folder: Path) -> ClassSet:
    held = _mat(folder / "wiki_cnn128_text100.mat")["data"][0, 0]
    labels = held["Y"].T.argmax(1)
    return _wikipedia(folder, "CNN-128 + text-100", held["X1"].T, held["X2"].T, labels)


def _wikipedia_sift(folder: Path) -> ClassSet:
    held = _mat(folder / "wiki_sift128_lda10.mat")
    x, y = (np.concatenate([held[f"{side}_tr"], held[f"{side}_te"]]) for side in "IT")
    labels = np.concatenate([held["L_tr"].ravel(), held["L_te"].ravel()]).astype(int) - 1
    return _wikipedia(folder, "SIFT-128 + LDA-10", x, y, labels)


def _wikipedia_2010(folder: Path) -> ClassSet:
    """The protocol of 2010: all 693 others are tested, none selects."""
    held, rest = _wikipedia_sift(folder), np.arange(2173, 2866)
    return replace(held, cuts=(Cut(train=held.cuts[0].train, val=rest[:0], test=rest),))


def _wikipedia(
    folder: Path, features: str, x: np.ndarray, y: np.ndarray, labels: np.ndarray
) -> ClassSet:
    """2173 of 2866 pairs train; the others are cut ten times into 462 test and 231 validation."""
    return ClassSet(
        name="wikipedia",
        features=features,
        x_name="image",
        y_name="text",
        pairs=pairs_of(x, y, labels),
        cuts=cut_rest(2173, 693, test=462, times=10),
        class_names=tuple(_there(folder / "categories.list").read_text("utf-8").split()),
    )


def _pascal(folder: Path) -> ClassSet:
    """DSCMR's files: 800 pairs train, 100 are tested (and select, as there are no others)."""
    parts = [
        pairs_of(
            _mat(folder / f"{part}_img.mat")[f"{part}_img"],
            _mat(folder / f"{part}_txt.mat")[f"{part}_txt"],
            _mat(folder / f"{part}_img_lab.mat")[f"{part}_img_lab"].ravel(),
        )
        for part in ("test", "train")
    ]
    test, train = np.arange(len(parts[0])), np.arange(len(parts[1])) + len(parts[0])
    return ClassSet(
        name="pascal",
        features="VGG19-4096 + sentence CNN-300, fine-tuned by DSCMR's authors",
        x_name="image",
        y_name="text",
        pairs=joined(parts),
        cuts=(Cut(train=train, val=test, test=test),),
        class_names=tuple(str(label) for label in range(20)),
    )


def _pascal_open(folder: Path) -> ClassSet:
    """Features of one's own in pascal.npz (image, text, labels): ten balanced 800/100/100 cuts."""
    with np.load(_there(folder / "pascal.npz")) as held:
        pairs = pairs_of(held["image"], held["text"], held["labels"])
    return ClassSet(
        name="pascal",
        features="own features",
        x_name="image",
        y_name="text",
        pairs=pairs,
        cuts=cut_balanced(pairs.labels, parts=(5, 5), times=10),
        class_names=tuple(str(label) for label in np.unique(pairs.labels)),
    )


def _audiosetzsl(folder: Path) -> ClassSet:
    """features/{audio,video}/{trn,val,tst}/CLASS.h5 with `data` and `video_urls`; 23 seen classes.

    Raises: NothingDoneError where a class has other clips in one modality than in the other.
    """
    names = seen_classes(folder)
    parts, sizes = [], []
    for part in ("trn", "val", "tst"):
        sides = [_class_files(folder / "features", part, name) for name in names]
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
        pairs=joined(parts),
        cuts=(Cut(train=rows[0], val=rows[1], test=rows[2]),),
        class_names=names,
    )


def _class_files(folder: Path, part: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Audio and video features of a class, rows brought into the order of the audio's ids."""
    (audio, heard), (video, seen) = (
        read_features(folder / side / part / f"{name}.h5") for side in ("audio", "video")
    )
    row = {clip: at for at, clip in enumerate(seen)}
    if sorted(heard) != sorted(seen) or len(row) != len(seen):
        raise NothingDoneError(
            f"class {name!r} of {part} has {len(heard)} clips of sound and {len(seen)} of pictures "
            "that are not the same ones; fetch its features again"
        )
    return audio, video[[row[clip] for clip in heard]]


def read_features(path: Path) -> tuple[np.ndarray, list[str]]:
    """Features and clip ids of one HDF5 file of AudioSetZSL's authors."""
    import h5py

    with h5py.File(_there(path), "r") as held:
        urls = [url.decode() if isinstance(url, bytes) else str(url) for url in held["video_urls"]]
        return np.asarray(held["data"], dtype=np.float32), urls


def seen_classes(folder: Path) -> tuple[str, ...]:
    """The 23 classes that DSTC trains on, in the authors' order."""
    lines = _there(folder / "seen_class.txt").read_text("utf-8").split()
    names = tuple(line.strip(",'") for line in lines)
    if len(names) != SEEN:
        raise NothingDoneError(f"'{folder / 'seen_class.txt'}' names {len(names)} classes, not 23")
    return names


def class_counts(folder: Path, part: str) -> Counter[str]:
    """Clips of every seen class in `trn`, `val` or `tst`, from the split lists."""
    names = set(seen_classes(folder))
    with gzip.open(_there(folder / "splits.csv.gz"), "rt", encoding="utf-8") as lines:
        rows = csv.DictReader(lines)
        return Counter(r["class"] for r in rows if r["split"] == part and r["class"] in names)


def joined(parts: Sequence[Pairs]) -> Pairs:
    """Several lots of pairs as one."""
    x, y, labels = (
        np.concatenate([getattr(p, name) for p in parts]) for name in ("x", "y", "labels")
    )
    return Pairs(x=x, y=y, labels=labels)


def _mat(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat

    return loadmat(_there(path))


def _there(path: Path) -> Path:
    if not path.is_file():
        raise NothingDoneError(
            f"'{path}' is not there; the set cannot be read without it, see docs/class-level.md "
            "for where its authors keep it"
        )
    return path


READERS: dict[str, tuple[str, Callable[[Path], ClassSet]]] = {
    "wikipedia_cnn": ("wikipedia", _wikipedia_cnn),
    "wikipedia_2010": ("wikipedia", _wikipedia_2010),
    "wikipedia_sift": ("wikipedia", _wikipedia_sift),
    "pascal": ("pascal_sentence", _pascal),
    "pascal_open": ("pascal_sentence", _pascal_open),
    "audiosetzsl": ("audiosetzsl", _audiosetzsl),
    "digits": ("fsdd", lambda folder: read_digits(_there(folder / "recordings.zip"))),
}
