"""Small generated data sets in the layout of the real ones."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from media.media_clips import write_clip
from seehear_lab.datasets.spec import Spec

EACH = 3  # videos of a split
Rows = list[tuple[str, str]]


def write_set(spec: Spec, root: Path) -> dict[str, list[str]]:
    """Write a set with `EACH` videos per split, the last without sound; return the ids."""
    captions: dict[str, Rows] = defaultdict(list)
    kinds: dict[str, tuple[str, str, str]] = {}
    ids: dict[str, list[str]] = {}
    for number, (name, split) in enumerate(spec.splits.items()):
        first = split.ids.first if split.ids and not split.ids.file else 20000 + 10 * number
        ids[name] = [f"video{first + turn}" for turn in range(EACH)]
        own = split.captions
        kinds[own.file] = (own.reader, own.id, own.text)
        for video in ids[name]:
            pairs = [(video, f"a dog barks at the car {video}"), (video, "the song of a drum")]
            is_single = split.pairs == split.videos and own.pairing == "each_caption"
            captions[own.file] += pairs[:1] if is_single else pairs
        if split.ids and split.ids.file:
            kinds[split.ids.file] = (split.ids.reader, split.ids.id, "")
            captions[split.ids.file] += [(video, "") for video in ids[name]]
    for file, rows in captions.items():
        reader, column, text = kinds[file]
        WRITERS[reader](root / file, list(dict.fromkeys(rows)), column, text)
    _write_videos(root / spec.videos, ids)
    return ids


def _write_videos(folder: Path, ids: dict[str, list[str]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).normal(0, 0.2, 48000).astype(np.float32)
    hears = write_clip(folder / "with.mp4", seconds=1, sounds=[noise]).rename(folder / "with")
    silent = write_clip(folder / "without.mp4", seconds=1).rename(folder / "without")
    for videos in ids.values():
        for video in videos:
            (folder / f"{video}.mp4").hardlink_to(silent if video == videos[-1] else hears)
    hears.unlink(), silent.unlink()


def _table(path: Path, rows: Rows, column: str, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["key", column, *filter(None, [text])])
        writer.writerows([f"ret{at}", *row[: 2 if text else 1]] for at, row in enumerate(rows))


def _json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def _activitynet(path: Path, rows: Rows, column: str, text: str) -> None:
    videos: dict[str, dict[str, list[str]]] = {}
    for name, caption in rows:
        videos.setdefault(name, {"sentences": []})["sentences"].append(caption)
    _json(path, videos)


def _vatex(path: Path, rows: Rows, column: str, text: str) -> None:
    names = dict.fromkeys(name for name, _ in rows)
    _json(
        path, [{"videoID": n, "enCap": [caption for m, caption in rows if m == n]} for n in names]
    )


WRITERS: dict[str, Callable[[Path, Rows, str, str], None]] = {
    "msrvtt_json": lambda path, rows, *_: _json(
        path, {"sentences": [{"video_id": n, "caption": text} for n, text in rows]}
    ),
    "csv": _table,
    "lines": lambda path, rows, *_: _write(path, [n for n, _ in rows]),
    "tab_first_last": lambda path, rows, *_: _write(
        path, ["\t".join([n, "00:00", "00:01", "00:00", "00:01", text]) for n, text in rows]
    ),
    "id_then_text": lambda path, rows, *_: _write(path, [f"{n} {text}" for n, text in rows]),
    "didemo_json": lambda path, rows, *_: _json(
        path, [{"video": f"{n}.avi", "description": text} for n, text in rows]
    ),
    "activitynet_json": _activitynet,
    "vatex_json": _vatex,
}


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
