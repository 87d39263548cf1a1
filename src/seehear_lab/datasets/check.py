"""Check a data set: counts, missing and unreadable videos, sound tracks, changed list files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from seehear.encoders.weights import sha256_of
from seehear.errors import MediaError, UsageError, listed
from seehear.media import probe
from seehear_lab.datasets.spec import DataSet, Split

NO_AUDIO = "no_audio.txt"


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Findings as lines of text, and how many of them are problems."""

    lines: tuple[str, ...]
    problems: int


def check(data: DataSet, *, on_log: Callable[[str], None] = lambda line: None) -> Findings:
    """Read the lists and probe every video; write no_audio.txt into the root.

    `on_log` receives a line after every 1,000 videos.
    """
    lines, problems, wanted = [], 0, set()
    for name, split in data.spec.splits.items():
        try:
            captions = data.captions(name)
        except UsageError as error:
            lines.append(f"{name}: {error}")
            problems += 1
            continue
        ids = dict.fromkeys(video for video, _ in captions)
        wanted |= ids.keys()
        different = _differences(split, len(ids), len(captions))
        lines.append(f"{name}: videos {len(ids)}, pairs {len(captions)}")
        lines += [f"{name}: {each}" for each in different]
        problems += len(different)
    found = {name: path for name in sorted(wanted) if (path := data.file(name))}
    missing = sorted(wanted - found.keys())
    if missing:
        lines.append(f"missing videos: {len(missing)} of {len(wanted)}: {listed(missing)}")
    unreadable, silent = _probe(found, on_log)
    if unreadable:
        lines.append(f"unreadable videos: {len(unreadable)}: {listed(unreadable)}")
    lines += _sound(data, len(found) - len(unreadable), silent)
    list_lines, changed = _list_files(data)
    lines += list_lines
    lines += [f"known: {each}" for each in data.spec.known]
    problems += len(missing) + len(unreadable) + changed
    return Findings(lines=tuple(lines), problems=problems)


def _differences(split: Split, videos: int, pairs: int) -> list[str]:
    counts = (("videos", split.videos, videos), ("pairs", split.pairs, pairs))
    return [
        f"{what} {found}, published {published}"
        for what, published, found in counts
        if published and published != found
    ]


def _probe(
    videos: Mapping[str, Path], on_log: Callable[[str], None]
) -> tuple[list[str], list[str]]:
    """Videos that cannot be read, with the reason, and videos without a sound track."""
    unreadable, silent = [], []

    def status(path: Path) -> str:
        try:
            return "" if probe(path).has_audio else "silent"
        except MediaError as error:
            return f"{error}"

    with ThreadPoolExecutor(2) as pool:
        rows = zip(videos, pool.map(status, videos.values()), strict=True)
        for number, (name, found) in enumerate(rows, 1):
            if found == "silent":
                silent.append(name)
            elif found:
                unreadable.append(f"{name} ({found})")
            if number % 1000 == 0:
                on_log(f"{number} of {len(videos)} videos probed")
    return unreadable, silent


def _sound(data: DataSet, readable: int, silent: list[str]) -> list[str]:
    (data.root / NO_AUDIO).write_text("".join(f"{name}\n" for name in silent), encoding="utf-8")
    with_sound = readable - len(silent)
    lines = [f"videos with a sound track: {with_sound} of {readable}; {NO_AUDIO} lists the others"]
    published = data.spec.sound
    if published and (with_sound, readable) != (published.with_sound, published.videos):
        lines.append(f"published: {published.with_sound} of {published.videos} with a sound track")
    return lines


def _list_files(data: DataSet) -> tuple[list[str], int]:
    """The SHA-256 of each list file, and how many differ from the spec."""
    lines, changed = [], 0
    for name in data.list_files:
        if (data.root / name).is_file():
            found = sha256_of(data.root / name)
            lines.append(f"{name}: sha256 {found}")
            if data.spec.sha256.get(name, found) != found:
                lines.append(f"{name} differs from the file in the spec (sha256)")
                changed += 1
    return lines, changed
