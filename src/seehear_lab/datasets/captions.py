"""Readers of caption files; each returns (video id, caption) in the order of the file."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from seehear.errors import UsageError

Captions = list[tuple[str, str]]
Options = Mapping[str, str]


def msrvtt_json(path: Path, options: Options) -> Captions:
    """Read `{"sentences": [{"video_id", "caption"}, ...]}`."""
    return [(row["video_id"], row["caption"]) for row in _json(path)["sentences"]]


def csv_columns(path: Path, options: Options) -> Captions:
    """Read a table with a header; options `id` and `text` name its columns."""
    column, text = options["id"], options.get("text", "")
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        for name in filter(None, (column, text)):
            if name not in (rows.fieldnames or ()):
                raise UsageError(f"'{path}' has no column {name!r}; it has {rows.fieldnames}")
        return [(row[column], row[text].strip() if text else "") for row in rows]


def tab_first_last(path: Path, options: Options) -> Captions:
    """Read lines of tab-separated fields: the id first, the caption last."""
    rows = [line.split("\t") for line in _lines(path)]
    return [(row[0], row[-1].strip()) for row in rows]


def id_then_text(path: Path, options: Options) -> Captions:
    """Read lines of an id, a blank and a caption; lines that start with `#` are comments."""
    rows = [line.partition(" ") for line in _lines(path) if not line.startswith("#")]
    return [(name, text.strip()) for name, _, text in rows]


def lines(path: Path, options: Options) -> Captions:
    """Read one id per line, without captions."""
    return [(line, "") for line in _lines(path)]


def vatex_json(path: Path, options: Options) -> Captions:
    """Read `[{"videoID", "enCap": [...]}, ...]`: ten English captions each."""
    return [(row["videoID"], text) for row in _json(path) for text in row["enCap"]]


def didemo_json(path: Path, options: Options) -> Captions:
    """Read `[{"video": "name.mp4", "description"}, ...]`."""
    return [(Path(row["video"]).stem, row["description"]) for row in _json(path)]


def activitynet_json(path: Path, options: Options) -> Captions:
    """Read `{"v_id": {"sentences": [...]}, ...}`."""
    videos = _json(path).items()
    return [(name, text.strip()) for name, row in videos for text in row["sentences"]]


def jsonl(path: Path, options: Options) -> Captions:
    """Read lines of `{"video": "file", "caption": "text"}`; option `text` names another key.

    Raises: UsageError for a line that is not a caption.
    """
    found, key = [], options.get("text") or "caption"
    for number, line in enumerate(_lines(path), start=1):
        try:
            row = json.loads(line)
            found.append((str(row["video"]), str(row[key])))
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"line {number} of '{path}' is not a caption; expected "
                '{"video": "file.mp4", "caption": "a dog barks at the sea"}'
            ) from error
    return found


READERS: dict[str, Callable[[Path, Options], Captions]] = {
    "msrvtt_json": msrvtt_json,
    "csv": csv_columns,
    "tab_first_last": tab_first_last,
    "id_then_text": id_then_text,
    "lines": lines,
    "vatex_json": vatex_json,
    "didemo_json": didemo_json,
    "activitynet_json": activitynet_json,
    "jsonl": jsonl,
}


def as_paragraphs(captions: Captions) -> Captions:
    """One caption per video: all its sentences, in the order of the file."""
    together: dict[str, list[str]] = {}
    for name, text in captions:
        together.setdefault(name, []).append(text)
    return [(name, " ".join(texts)) for name, texts in together.items()]


def _lines(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8-sig")
    return (line.rstrip() for line in text.splitlines() if line.strip())


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"'{path}' is not valid JSON: {error}") from error
