"""Data set specs (TOML files in specs/), and the splits of a data set in a folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Literal

from seehear.errors import UsageError, suggest
from seehear.media.scan import SUFFIXES
from seehear_lab.datasets.captions import READERS, Captions, as_paragraphs
from seehear_lab.recipes.reader import build, read_toml

OWN_FOLDER = "folder"  # the name of a data set without a spec
OWN_FILE = re.compile(r"captions(?:\.([\w-]+))?\.(jsonl|csv)")  # its captions, of a split or all


@dataclass(frozen=True, kw_only=True)
class CaptionFile:
    """A caption file and its reader; `id`, `text` and `provenance` name columns."""

    file: str
    reader: str
    pairing: Literal["each_caption", "paragraph"] = "each_caption"
    id: str = ""
    text: str = ""
    provenance: str = ""  # author of a caption; metrics are also given per author


@dataclass(frozen=True, kw_only=True)
class Ids:
    """The videos of a split: those of a list file, or a range of numbers."""

    file: str = ""
    reader: str = "lines"
    id: str = ""
    prefix: str = ""
    first: int = 0
    last: int = -1


@dataclass(frozen=True, kw_only=True)
class Split:
    """A split, with the published counts; 0 where none is known."""

    captions: CaptionFile
    ids: Ids | None = None
    videos: int = 0
    pairs: int = 0


@dataclass(frozen=True, kw_only=True)
class SoundCounts:
    """Published number of videos, and of those with a sound track."""

    videos: int
    with_sound: int


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A data set: where to get it, its splits, its known faults."""

    title: str
    licence: str
    obtain: str
    videos: str  # folder of the videos inside the root
    splits: Mapping[str, Split]
    known: tuple[str, ...] = ()
    sound: SoundCounts | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)  # of list files, where known


def list_specs() -> tuple[str, ...]:
    """Names of all data sets with a spec."""
    folder = files("seehear_lab.datasets") / "specs"
    return tuple(sorted(Path(str(each)).stem for each in folder.iterdir()))


def load_spec(name: str) -> Spec:
    """Load the spec of a data set.

    Raises: UsageError if there is none of that name.
    """
    if name not in list_specs():
        raise UsageError(f"no data set named {name!r}{suggest(name, list_specs())}")
    path = Path(str(files("seehear_lab.datasets") / "specs" / f"{name}.toml"))
    return build(Spec, read_toml(path), where=path.name)


def spec_of_folder(root: Path) -> Spec:
    """Make a spec for a folder with captions.jsonl or captions.SPLIT.jsonl (or .csv).

    Raises: UsageError if the folder has none of them.
    """
    splits = {}
    for path in sorted(root.glob("captions*")):
        if found := OWN_FILE.fullmatch(path.name):
            own = CaptionFile(
                file=path.name,
                reader=found[2],
                id="video",
                text="caption",
                provenance="provenance" if "provenance" in _first_line(path) else "",
            )
            splits[found[1] or "all"] = Split(captions=own)
    if not splits:
        raise UsageError(
            f"'{root}' has neither captions.jsonl nor captions.SPLIT.jsonl (nor .csv); write one "
            'line per caption: {"video": "file.mp4", "caption": "a dog barks at the sea"}, or '
            "make the folder from tars with seehear-lab data unpack"
        )
    return Spec(title=root.name, licence="", obtain="", videos=".", splits=splits)


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8-sig") as file:
        return file.readline()


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A caption and its video file; `provenance` is the author of the caption, where known."""

    name: str
    path: Path
    caption: str
    provenance: str = ""


@dataclass(frozen=True)
class DataSet:
    """A spec and the root folder of the data set."""

    spec: Spec
    root: Path

    def pairs(self, split: str) -> tuple[list[Pair], int]:
        """The pairs of a split whose video exists, and the number of the others.

        Raises: UsageError for an unknown split, a missing file, or a split without videos.
        """
        captions = self.captions(split)
        pairs = [
            Pair(name=name, path=path, caption=text, provenance=source)
            for (name, text), source in zip(captions, self.provenance(split), strict=True)
            if (path := self.file(name))
        ]
        if not pairs:
            raise UsageError(f"no video of the split {split!r} is in '{self.folder}'")
        return pairs, len(captions) - len(pairs)

    def captions(self, split: str) -> Captions:
        """(video id, caption) of a split, in the order of its files.

        Raises: UsageError for an unknown split or a missing file.
        """
        if split not in self.spec.splits:
            raise UsageError(
                f"{self.spec.title} has no split {split!r}{suggest(split, self.spec.splits)}"
            )
        part = self.spec.splits[split]
        found = self._read(part.captions)
        if part.ids:
            wanted = self._ids(part.ids)
            found = [(name, text) for name, text in found if name in wanted]
        return as_paragraphs(found) if part.captions.pairing == "paragraph" else found

    def provenance(self, split: str) -> list[str]:
        """The author of each of `captions(split)`; "" where unknown."""
        part = self.spec.splits[split].captions
        if not part.provenance:
            return [""] * len(self.captions(split))
        return [name for _, name in self._read(replace(part, text=part.provenance))]

    def _ids(self, ids: Ids) -> set[str]:
        if not ids.file:
            return {f"{ids.prefix}{number}" for number in range(ids.first, ids.last + 1)}
        listed = self._read(CaptionFile(file=ids.file, reader=ids.reader, id=ids.id))
        return {name for name, _ in listed}

    def _read(self, captions: CaptionFile) -> Captions:
        path = self.root / captions.file
        if not path.is_file():
            raise UsageError(f"'{path}' is missing; {self.spec.obtain or 'see data check'}")
        return READERS[captions.reader](path, {"id": captions.id, "text": captions.text})

    @cached_property
    def files(self) -> dict[str, Path]:
        """Video files by name: the relative path with and without suffix, and the stem."""
        found: dict[str, Path] = {}
        for path in sorted(self.folder.rglob("*")):
            if path.suffix.lower() in SUFFIXES and path.is_file():
                relative = path.relative_to(self.folder)
                found[relative.as_posix()] = path
                found.setdefault(relative.with_suffix("").as_posix(), path)
                found.setdefault(path.stem, path)
        return found

    @property
    def folder(self) -> Path:
        """The folder of the videos."""
        return self.root / self.spec.videos

    @property
    def list_files(self) -> list[str]:
        """The caption and id files of all splits, relative to the root."""
        splits = self.spec.splits.values()
        named = [split.captions.file for split in splits]
        named += [split.ids.file for split in splits if split.ids and split.ids.file]
        return list(dict.fromkeys(named))

    def file(self, name: str) -> Path | None:
        """The video file of an id, in any format; None if there is none."""
        suffix = Path(name).suffix
        bare = name.removesuffix(suffix) if suffix.lower() in SUFFIXES else name
        return self.files.get(name) or self.files.get(bare)


def open_dataset(name: str, root: Path) -> DataSet:
    """Open a data set by name in the folder `root`; "folder" is any folder with captions.

    Raises: UsageError if there is no such folder or no data set of that name.
    """
    if not root.is_dir():
        raise UsageError(f"there is no folder '{root}'; pass the folder of the data set")
    return DataSet(spec_of_folder(root) if name == OWN_FOLDER else load_spec(name), root)
