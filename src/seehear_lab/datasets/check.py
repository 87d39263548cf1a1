"""Is a data set whole? Counts, missing and unreadable videos, sound; what differs from papers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from seehear.encoders.weights import sha256_of
from seehear.errors import MediaError, UsageError
from seehear.media import probe
from seehear_lab.datasets.spec import DataSet, Split

NO_AUDIO = "no_audio.txt"


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What was found, in words, and how many of the findings are problems."""

    lines: tuple[str, ...]
    problems: int


def check(data: DataSet, *, tell: Callable[[str], None] = lambda line: None) -> Findings:
    """Read the lists, look for every video, probe each; write no_audio.txt into the root."""
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
        lines += [f"{name}: {len(ids)} videos, {len(captions)} pairs"]
        said = _differences(split, len(ids), len(captions))
        lines += [f"{name}: {each}" for each in said]
        problems += len(said)
    there = {name: path for name in sorted(wanted) if (path := data.file(name))}
    missing = sorted(wanted - there.keys())
    if missing:
        lines.append(_listed(f"{len(missing)} of {len(wanted)} videos are missing", missing))
    unread, silent = _probed(there, tell)
    if unread:
        lines.append(_listed(f"{len(unread)} videos cannot be read", unread))
    lines += _sound(data, len(wanted) - len(missing) - len(unread), silent)
    listed, changed = _lists(data)
    lines += listed
    lines += [f"known: {each}" for each in data.spec.known]
    return Findings(lines=tuple(lines), problems=problems + len(missing) + len(unread) + changed)


def _differences(split: Split, videos: int, pairs: int) -> list[str]:
    counts = (("videos", split.videos, videos), ("pairs", split.pairs, pairs))
    return [
        f"{found} {what} where the papers have {stated}"
        for what, stated, found in counts
        if stated and stated != found
    ]


def _probed(videos: Mapping[str, Path], tell: Callable[[str], None]) -> tuple[list[str], list[str]]:
    """Videos that cannot be read, with the reason, and those without a sound track."""
    unread, silent = [], []

    def look(path: Path) -> str:
        try:
            return "" if probe(path).has_audio else "silent"
        except MediaError as error:
            return f"{error}"

    with ThreadPoolExecutor(2) as pool:
        for number, (name, found) in enumerate(
            zip(videos, pool.map(look, videos.values()), strict=True), 1
        ):
            if found == "silent":
                silent.append(name)
            elif found:
                unread.append(f"{name} ({found})")
            if number % 1000 == 0:
                tell(f"{number} of {len(videos)} videos probed")
    return unread, silent


def _sound(data: DataSet, readable: int, silent: list[str]) -> list[str]:
    (data.root / NO_AUDIO).write_text("".join(f"{name}\n" for name in silent), encoding="utf-8")
    with_sound = readable - len(silent)
    said = [f"sound: {with_sound} of {readable} videos have a track; {NO_AUDIO} lists the others"]
    stated = data.spec.sound
    if stated and (with_sound, readable) != (stated.with_sound, stated.videos):
        said.append(f"sound: the papers have {stated.with_sound} of {stated.videos}")
    return said


def _lists(data: DataSet) -> tuple[list[str], int]:
    """What each list file is, to be told beside a result; how many are not those described."""
    said, changed = [], 0
    for name in data.lists:
        if (data.root / name).is_file():
            found = sha256_of(data.root / name)
            said.append(f"{name}: sha256 {found}")
            if data.spec.sha256.get(name, found) != found:
                said.append(f"{name} is not the file that was described (sha256 differs)")
                changed += 1
    return said, changed


def _listed(what: str, names: list[str], *, most: int = 5) -> str:
    tail = ", ..." if len(names) > most else ""
    return f"{what}: {', '.join(names[:most])}{tail}"
