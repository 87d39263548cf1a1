"""Captioned videos packed by others (webdataset tars, Hugging Face `datasets`) as a plain folder.

The folder has a file captions.SPLIT.jsonl and a folder of videos for each split, which is what
`seehear_lab.datasets.spec` reads. Nothing is written under a name taken from an archive.
"""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import IO, Any

from seehear.errors import UsageError
from seehear.media.scan import VIDEO

CAPTION_NAMES = ("caption", "captions", "text", "sentence", "sentences", "description")
SUFFIXES = {f".{name}" for name in VIDEO.split()}
ON_DISK = ("dataset_dict.json", "dataset_info.json")  # what `save_to_disk` leaves


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A video somewhere in an archive, with its captions."""

    name: str  # what the archive calls it: for reports and for a part of the file name
    suffix: str
    captions: tuple[str, ...]
    open: Callable[[], IO[bytes]]


Samples = Iterator[Sample | str]  # or why something was left out


def unpack(
    source: str, folder: Path, *, tell: Callable[[str], None] = lambda line: None
) -> list[str]:
    """Write videos and captions of `source` into `folder`; what was left out, and why.

    `source`: a tar or a folder of tars (the part of a name before its number is the split), a
    folder of `datasets.save_to_disk`, or whatever `datasets.load_dataset` takes. Videos that are
    there already are left as they are, so the work can be stopped and taken up again.

    Raises: UsageError if it is none of these.
    """
    left_out: list[str] = []
    for split, samples in _splits(source):
        lines = []
        for number, sample in enumerate(samples):
            if isinstance(sample, str):
                left_out.append(sample)
                continue
            path = folder / split / _file_name(number, sample)
            try:
                _write_video(path, sample)
            except (OSError, tarfile.TarError) as error:
                left_out.append(f"{sample.name} ({error})")
                continue
            video = path.relative_to(folder).as_posix()
            lines += [{"video": video, "caption": text} for text in sample.captions]
        if not lines:
            continue
        with whole(folder / f"captions.{split}.jsonl") as file:
            file.writelines(f"{json.dumps(line, ensure_ascii=False)}\n".encode() for line in lines)
        tell(f"{split}: {len({line['video'] for line in lines})} videos, {len(lines)} pairs")
    return left_out


def _file_name(number: int, sample: Sample) -> str:
    """A name that no archive can choose: a number, and harmless letters for the reader."""
    return f"{number:06d}_{_harmless(sample.name)[-60:]}{sample.suffix}"


def _harmless(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]+", "_", name)


def _write_video(path: Path, sample: Sample) -> None:
    if not path.exists():
        with sample.open() as held, whole(path) as file:
            shutil.copyfileobj(held, file)


@contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """A file that appears under its name when it is complete, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


def _splits(source: str) -> Iterator[tuple[str, Samples]]:
    path = Path(source)
    tars = sorted(path.glob("*.tar")) if path.is_dir() else [path] * (path.suffix == ".tar")
    if not tars:
        yield from _of_datasets(source)
        return
    if not path.exists():
        raise UsageError(f"there is no file '{path}'")
    for split, own in groupby(sorted(tars, key=_split_of), _split_of):
        yield split, (sample for tar in own for sample in _of_tar(tar))


def _split_of(tar: Path) -> str:
    """`train-000001.tar` belongs to `train`, `000001.tar` to `all`."""
    found = re.match(r"[A-Za-z]+(?:[-_]?[A-Za-z]+)*", tar.stem)
    return found[0] if found else "all"


def _of_tar(path: Path) -> Samples:
    """The samples of a tar: neighbours whose names are equal up to the first dot."""
    try:
        with tarfile.open(path) as tar:
            files = (member for member in tar if member.isfile())
            for key, members in groupby(files, lambda member: _cut(member.name)[0]):
                parts = {_cut(member.name)[1]: member for member in members}
                yield _sample(f"{path.name}/{key}", parts, tar)
    except (tarfile.TarError, EOFError, OSError) as error:
        yield f"the rest of {path.name} ({error})"


def _cut(name: str) -> tuple[str, str]:
    """(key, extension), as webdataset cuts: at the first dot of the last part."""
    last = PurePosixPath(name).name
    stem, dot, extension = last.partition(".")
    return name.removesuffix(last) + stem, (dot + extension).lower()


def _sample(name: str, parts: Mapping[str, tarfile.TarInfo], tar: tarfile.TarFile) -> Sample | str:
    def read(part: str) -> IO[bytes]:
        return tar.extractfile(parts[part]) or BytesIO()

    videos = [part for part in parts if part in SUFFIXES]
    if not videos:
        return f"{name} (no video; it has {', '.join(sorted(parts))})"
    try:
        captions = _captions(json.load(read(".json"))) if ".json" in parts else ()
        if ".txt" in parts and not captions:
            captions = _captions(read(".txt").read().decode())
    except ValueError as error:
        return f"{name} ({error})"
    if not captions:
        return f"{name} (no caption in .json or .txt)"
    return Sample(name=name, suffix=videos[0], captions=captions, open=lambda: read(videos[0]))


def _captions(held: Any) -> tuple[str, ...]:
    """Captions out of a text, a list of texts, or a table that has them under a usual name."""
    if isinstance(held, dict):
        held = next((held[name] for name in CAPTION_NAMES if name in held), ())
    texts: list[Any] = held if isinstance(held, list) else [held]
    return tuple(" ".join(text.split()) for text in texts if isinstance(text, str) and text.strip())


def _of_datasets(source: str) -> Iterator[tuple[str, Samples]]:
    try:
        import datasets  # extra [lab]
    except ImportError as error:
        raise UsageError(
            f"'{source}' holds no tar, and reading it as a data set of Hugging Face needs the "
            "package datasets; install seehear[lab]"
        ) from error
    is_saved = any((Path(source) / name).is_file() for name in ON_DISK)
    try:
        held = datasets.load_from_disk(source) if is_saved else datasets.load_dataset(source)
    except Exception as error:  # its errors share no base
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UsageError(
            f"'{source}' is no tar, no folder of tars and no data set of Hugging Face ({reason})"
        ) from error
    for split, part in held.items() if isinstance(held, dict) else [("all", held)]:
        yield _harmless(str(split)), _of_columns(source, part)


def _of_columns(source: str, part: Any) -> Samples:
    """The rows of a data set: a column of videos, and one of captions."""
    from datasets import Video

    columns: list[str] = part.column_names
    marked = [name for name, kind in part.features.items() if isinstance(kind, Video)]
    videos = marked or [name for name in ("video", "file", "path") if name in columns]
    captions = [name for name in CAPTION_NAMES if name in columns]
    if not videos or not captions:
        raise UsageError(
            f"'{source}' has the columns {', '.join(columns)}; expected one named video (of the "
            f"kind Video, or paths) and one named {' or '.join(CAPTION_NAMES)}: rename_column"
        )
    if marked:
        part = part.cast_column(videos[0], Video(decode=False))
    for number, row in enumerate(part):
        texts = _captions(row[captions[0]])
        yield _of_row(f"row {number}", row[videos[0]], texts, Path(source))


def _of_row(name: str, held: Any, captions: tuple[str, ...], root: Path) -> Sample | str:
    path, data = (held.get("path"), held.get("bytes")) if isinstance(held, dict) else (held, None)
    if not captions:
        return f"{name} (no caption)"
    if not path and not data:
        return f"{name} (no video)"
    suffix = Path(path or "").suffix.lower()
    suffix = suffix if suffix in SUFFIXES else ".mp4"
    if data:
        return Sample(name=name, suffix=suffix, captions=captions, open=lambda: BytesIO(data))
    file = root / path  # an absolute path stays what it is
    return Sample(name=name, suffix=suffix, captions=captions, open=lambda: file.open("rb"))
