"""A data set is data: what its TOML says, and its splits read from a folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Literal

from seehear.errors import UsageError
from seehear.media.scan import SUFFIXES
from seehear_lab.datasets.captions import READERS, Captions, as_paragraphs
from seehear_lab.settings import build, nearest, read_toml

OWN_FOLDER = "folder"  # the name of a data set that has no spec
OWN_FILE = re.compile(r"captions(?:\.([\w-]+))?\.(jsonl|csv)")  # its captions, of a split or all


@dataclass(frozen=True, kw_only=True)
class CaptionFile:
    """Where captions lie and how they are read; `id`, `text`, `provenance` name its columns."""

    file: str
    reader: str
    pairing: Literal["each_caption", "paragraph"] = "each_caption"
    id: str = ""
    text: str = ""
    provenance: str = ""  # who wrote a caption: figures are also given for each


@dataclass(frozen=True, kw_only=True)
class Ids:
    """Which videos of the caption file: those of a list, or of a range of numbers."""

    file: str = ""
    reader: str = "lines"
    id: str = ""
    prefix: str = ""
    first: int = 0
    last: int = -1


@dataclass(frozen=True, kw_only=True)
class Split:
    """A part of a data set, with the counts of the papers; 0 where none is known."""

    captions: CaptionFile
    ids: Ids | None = None
    videos: int = 0
    pairs: int = 0


@dataclass(frozen=True, kw_only=True)
class SoundCounts:
    """How many videos of the common archive have a sound track."""

    videos: int
    with_sound: int


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A data set: how to get it, what it holds, what is known to be wrong with it."""

    title: str
    licence: str
    obtain: str
    videos: str  # folder of the videos, below the root
    splits: Mapping[str, Split]
    known: tuple[str, ...] = ()
    sound: SoundCounts | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)  # of list files, where known


def list_specs() -> tuple[str, ...]:
    """The names of all data sets that are described here."""
    folder = files("seehear_lab.datasets") / "specs"
    return tuple(sorted(Path(str(each)).stem for each in folder.iterdir()))


def load_spec(name: str) -> Spec:
    """The description of a data set.

    Raises: UsageError if there is none of that name.
    """
    if name not in list_specs():
        raise UsageError(f"no data set named {name!r}{nearest(name, list_specs())}")
    path = Path(str(files("seehear_lab.datasets") / "specs" / f"{name}.toml"))
    return build(Spec, read_toml(path), where=path.name)


def spec_of_folder(root: Path) -> Spec:
    """The description of a folder of one's own: captions.jsonl, captions.SPLIT.jsonl, or as .csv.

    Raises: UsageError if it has none of them.
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
            'line for each caption: {"video": "file.mp4", "caption": "what is seen and heard"}, or '
            "let seehear-lab data unpack make it out of tars"
        )
    return Spec(title=root.name, licence="", obtain="", videos=".", splits=splits)


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8-sig") as file:
        return file.readline()


@dataclass(frozen=True)
class DataSet:
    """A spec and the folder it describes."""

    spec: Spec
    root: Path

    def captions(self, split: str) -> Captions:
        """(video id, caption) of a split, in the order of its files.

        Raises: UsageError for an unknown split or a missing file.
        """
        if split not in self.spec.splits:
            raise UsageError(
                f"{self.spec.title} has no split {split!r}{nearest(split, self.spec.splits)}"
            )
        part = self.spec.splits[split]
        found = self._read(part.captions)
        if part.ids:
            wanted = self._ids(part.ids)
            found = [(name, text) for name, text in found if name in wanted]
        return as_paragraphs(found) if part.captions.pairing == "paragraph" else found

    def provenance(self, split: str) -> list[str]:
        """Who wrote each of `captions(split)`; "" where nothing is said."""
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
        """Name -> video: its path below the video folder, with and without suffix, and its stem."""
        found: dict[str, Path] = {}
        for path in sorted(self.folder.rglob("*")):
            if path.suffix.lower() in SUFFIXES and path.is_file():
                place = path.relative_to(self.folder)
                found[place.as_posix()] = path
                found.setdefault(place.with_suffix("").as_posix(), path)
                found.setdefault(path.stem, path)
        return found

    @property
    def folder(self) -> Path:
        """Where the videos lie."""
        return self.root / self.spec.videos

    @property
    def lists(self) -> list[str]:
        """The files that say which videos and captions there are."""
        splits = self.spec.splits.values()
        named = [split.captions.file for split in splits]
        named += [split.ids.file for split in splits if split.ids and split.ids.file]
        return list(dict.fromkeys(named))

    def file(self, name: str) -> Path | None:
        """The video of an id, whatever its format; None if it is not there."""
        suffix = Path(name).suffix
        bare = name.removesuffix(suffix) if suffix.lower() in SUFFIXES else name
        return self.files.get(name) or self.files.get(bare)


def open_set(name: str, root: Path) -> DataSet:
    """A data set by name, or a folder of one's own (`folder`), as it lies below `root`.

    Raises: UsageError if there is no such folder or no data set of that name.
    """
    if not root.is_dir():
        raise UsageError(f"there is no folder '{root}'; name the one that holds the data set")
    return DataSet(spec_of_folder(root) if name == OWN_FOLDER else load_spec(name), root)
