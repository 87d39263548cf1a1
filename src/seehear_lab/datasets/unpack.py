"""Unpack webdataset tars or a Hugging Face data set into a folder of videos and captions.

Each split becomes a file captions.SPLIT.jsonl and a folder of videos, as `datasets.spec` reads
them. File names never come from the archive.
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
ON_DISK = ("dataset_dict.json", "dataset_info.json")  # files of `save_to_disk`


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A video in an archive, with its captions."""

    name: str  # its name in the archive, for reports and as a part of the file name
    suffix: str
    captions: tuple[str, ...]
    open: Callable[[], IO[bytes]]


Samples = Iterator[Sample | str]  # a string: the reason why a sample was left out


def unpack(
    source: str, folder: Path, *, on_log: Callable[[str], None] = lambda line: None
) -> list[str]:
    """Write the videos and captions of `source` into `folder`; return what was left out, and why.

    `source` is a tar, a folder of tars (the name up to its number is the split), a folder of
    `datasets.save_to_disk`, or anything that `datasets.load_dataset` accepts. Existing videos are
    kept: run it again after an interruption.

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
        with atomic_write(folder / f"captions.{split}.jsonl") as file:
            file.writelines(f"{json.dumps(line, ensure_ascii=False)}\n".encode() for line in lines)
        on_log(f"{split}: videos {len({line['video'] for line in lines})}, pairs {len(lines)}")
    return left_out


def _file_name(number: int, sample: Sample) -> str:
    """A safe file name: the number, and the letters and digits of the name in the archive."""
    return f"{number:06d}_{_safe_name(sample.name)[-60:]}{sample.suffix}"


def _safe_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]+", "_", name)


def _write_video(path: Path, sample: Sample) -> None:
    if not path.exists():
        with sample.open() as source, atomic_write(path) as file:
            shutil.copyfileobj(source, file)


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """A file to write, which gets its name only when it is complete."""
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
        yield from _read_datasets(source)
        return
    if not path.exists():
        raise UsageError(f"there is no file '{path}'")
    for split, group in groupby(sorted(tars, key=_split_of), _split_of):
        yield split, (sample for tar in group for sample in _read_tar(tar))


def _split_of(tar: Path) -> str:
    """The split of a tar: "train" for train-000001.tar, "all" for 000001.tar."""
    found = re.match(r"[A-Za-z]+(?:[-_]?[A-Za-z]+)*", tar.stem)
    return found[0] if found else "all"


def _read_tar(path: Path) -> Samples:
    """The samples of a tar: consecutive files whose names are equal up to the first dot."""
    try:
        with tarfile.open(path) as tar:
            files = (member for member in tar if member.isfile())
            for key, members in groupby(files, lambda member: _split_name(member.name)[0]):
                parts = {_split_name(member.name)[1]: member for member in members}
                yield _sample(f"{path.name}/{key}", parts, tar)
    except (tarfile.TarError, EOFError, OSError) as error:
        yield f"the rest of {path.name} ({error})"


def _split_name(name: str) -> tuple[str, str]:
    """(key, extension), split at the first dot of the file name as webdataset does."""
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


def _captions(value: Any) -> tuple[str, ...]:
    """Captions from a string, a list of strings, or a table with a key in CAPTION_NAMES."""
    if isinstance(value, dict):
        value = next((value[name] for name in CAPTION_NAMES if name in value), ())
    texts: list[Any] = value if isinstance(value, list) else [value]
    return tuple(" ".join(text.split()) for text in texts if isinstance(text, str) and text.strip())


def _read_datasets(source: str) -> Iterator[tuple[str, Samples]]:
    try:
        import datasets  # extra [lab]
    except ImportError as error:
        raise UsageError(
            f"'{source}' has no .tar file, and reading it as a Hugging Face data set needs the "
            "package datasets; install seehear[lab]"
        ) from error
    is_saved = any((Path(source) / name).is_file() for name in ON_DISK)
    try:
        loaded = datasets.load_from_disk(source) if is_saved else datasets.load_dataset(source)
    except Exception as error:  # its errors share no base class
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UsageError(
            f"'{source}' is not a tar, a folder of tars or a Hugging Face data set ({reason})"
        ) from error
    for split, part in loaded.items() if isinstance(loaded, dict) else [("all", loaded)]:
        yield _safe_name(str(split)), _read_columns(source, part)


def _read_columns(source: str, part: Any) -> Samples:
    """The rows of a data set with a column of videos and one of captions."""
    from datasets import Video

    columns: list[str] = part.column_names
    marked = [name for name, kind in part.features.items() if isinstance(kind, Video)]
    videos = marked or [name for name in ("video", "file", "path") if name in columns]
    captions = [name for name in CAPTION_NAMES if name in columns]
    if not videos or not captions:
        raise UsageError(
            f"'{source}' has the columns {', '.join(columns)}; expected a column of videos (type "
            f"Video, or paths in a column named video) and one named {' or '.join(CAPTION_NAMES)}; "
            "rename them with rename_column"
        )
    if marked:
        part = part.cast_column(videos[0], Video(decode=False))
    for number, row in enumerate(part):
        texts = _captions(row[captions[0]])
        yield _read_row(f"row {number}", row[videos[0]], texts, Path(source))


def _read_row(name: str, video: Any, captions: tuple[str, ...], root: Path) -> Sample | str:
    is_dict = isinstance(video, dict)
    path, data = (video.get("path"), video.get("bytes")) if is_dict else (video, None)
    if not captions:
        return f"{name} (no caption)"
    if not path and not data:
        return f"{name} (no video)"
    suffix = Path(path or "").suffix.lower()
    suffix = suffix if suffix in SUFFIXES else ".mp4"
    if data:
        return Sample(name=name, suffix=suffix, captions=captions, open=lambda: BytesIO(data))
    file = root / path  # an absolute path stays absolute
    return Sample(name=name, suffix=suffix, captions=captions, open=lambda: file.open("rb"))
