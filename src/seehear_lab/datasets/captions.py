"""Readers of caption files: a file -> (video id, caption) in its order."""

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
    """`{"sentences": [{"video_id", "caption"}, ...]}`."""
    return [(row["video_id"], row["caption"]) for row in _json(path)["sentences"]]


def csv_columns(path: Path, options: Options) -> Captions:
    """A table with a header; the columns `id` and `text` are named by the spec."""
    column, text = options["id"], options.get("text", "")
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        for name in filter(None, (column, text)):
            if name not in (rows.fieldnames or ()):
                raise UsageError(f"'{path}' has no column {name!r}; it has {rows.fieldnames}")
        return [(row[column], row[text].strip() if text else "") for row in rows]


def tab_first_last(path: Path, options: Options) -> Captions:
    """Lines of fields between tabs: the id comes first, the caption last."""
    rows = [line.split("\t") for line in _lines(path)]
    return [(row[0], row[-1].strip()) for row in rows]


def id_then_text(path: Path, options: Options) -> Captions:
    """Lines of an id, a blank, and a caption; `#` begins a remark."""
    rows = [line.partition(" ") for line in _lines(path) if not line.startswith("#")]
    return [(name, text.strip()) for name, _, text in rows]


def lines(path: Path, options: Options) -> Captions:
    """One id a line, no captions."""
    return [(line, "") for line in _lines(path)]


def vatex_json(path: Path, options: Options) -> Captions:
    """`[{"videoID", "enCap": [...]}, ...]`: ten English captions each."""
    return [(row["videoID"], text) for row in _json(path) for text in row["enCap"]]


def didemo_json(path: Path, options: Options) -> Captions:
    """`[{"video": "name.mp4", "description"}, ...]`."""
    return [(Path(row["video"]).stem, row["description"]) for row in _json(path)]


def activitynet_json(path: Path, options: Options) -> Captions:
    """`{"v_id": {"sentences": [...]}, ...}`."""
    held = _json(path).items()
    return [(name, text.strip()) for name, row in held for text in row["sentences"]]


def jsonl(path: Path, options: Options) -> Captions:
    """Lines of `{"video": "file", "caption": "text"}`; `text` may name another key than caption."""
    found, key = [], options.get("text") or "caption"
    for number, line in enumerate(_lines(path), start=1):
        try:
            row = json.loads(line)
            found.append((str(row["video"]), str(row[key])))
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"line {number} of '{path}' is no caption; expected "
                '{"video": "file.mp4", "caption": "what is seen and heard"}'
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
    """One caption of each video: all its sentences in the order of the file."""
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
        raise UsageError(f"'{path}' is no JSON: {error}") from error
