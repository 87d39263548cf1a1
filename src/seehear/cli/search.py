"""`seehear search`: find moments by text or by example, with reasons."""

from __future__ import annotations

import re
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from seehear.cli.output import (
    JsonOption,
    LibraryOption,
    bar,
    clock,
    name_engine,
    say,
    say_json,
    shown,
)
from seehear.errors import UsageError

if TYPE_CHECKING:
    from seehear.types import Answer, Hit

ModeName = Literal["both", "seen", "heard"]
QueryArgument = Annotated[str, typer.Argument(help="Text to search for.")]
LikeOption = Annotated[
    Path | None, typer.Option(help="Find moments similar to this sound, picture or clip.")
]
ModeOption = Annotated[ModeName, typer.Option(help="Search by sight, by sound, or by both.")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="Number of hits.")]

FolderOption = Annotated[Path | None, typer.Option(help="Only files below this folder.")]
MinDurationOption = Annotated[
    float | None, typer.Option(help="Minimum length of a file in seconds.")
]
MaxDurationOption = Annotated[
    float | None, typer.Option(help="Maximum length of a file in seconds.")
]
HasSoundOption = Annotated[
    bool | None, typer.Option("--has-sound/--silent", help="Only files with or without sound.")
]
AvOption = Annotated[
    bool | None,
    typer.Option(
        "--sound-matches/--sound-unrelated",
        help="Only moments whose sound belongs, or does not belong, to the picture.",
    ),
]
AddedSinceOption = Annotated[
    str | None, typer.Option(help="A date (2026-01-31) or an age (3d, 12h).")
]
Stage1Option = Annotated[
    Literal["union", "seen"],
    typer.Option(help="First stage: by sight and sound, or by sight alone as in the papers."),
]
ExactOption = Annotated[
    bool, typer.Option("--exact", help="Skip the first stage and score every moment (slower).")
]


def search(
    library: LibraryOption,
    query: QueryArgument = "",
    like: LikeOption = None,
    mode: ModeOption = "both",
    limit: LimitOption = 10,
    folder: FolderOption = None,
    min_duration: MinDurationOption = None,
    max_duration: MaxDurationOption = None,
    has_sound: HasSoundOption = None,
    av_correspondence: AvOption = None,
    added_since: AddedSinceOption = None,
    stage1: Stage1Option = "union",
    exact: ExactOption = False,
    as_json: JsonOption = False,
) -> None:
    """Find moments by what is seen and heard; each hit says why it matched."""
    from seehear.library import Library
    from seehear.types import Filter

    where = Filter(
        folder=str(folder.expanduser()) if folder else None,
        min_duration_s=min_duration,
        max_duration_s=max_duration,
        has_sound=has_sound,
        av_correspondence=av_correspondence,
        added_since_us=since_us(added_since) if added_since else None,
    )
    with Library.open(library) as opened:
        name_engine(opened.engine.name)
        first = "all" if exact else stage1
        answer = opened.search(
            query, like=like or "", mode=mode, limit=limit, where=where, stage1=first
        )
    if as_json:
        say_json("search", answer)
    else:
        say_answer(answer)


def since_us(text: str) -> int:
    """Microseconds of a date like 2026-01-31, or of an age like 3d or 12h before now."""
    age = re.fullmatch(r"(\d+)([dh])", text.strip())
    if age:
        seconds = int(age[1]) * {"d": 86400, "h": 3600}[age[2]]
        return int((time.time() - seconds) * 1e6)
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1e6)
    except ValueError:
        raise UsageError(
            f"{text!r} is neither a date nor an age; write 2026-01-31, 3d or 12h"
        ) from None


def say_answer(answer: Answer) -> None:
    """Print hits as text: one block each, with its reasons."""
    if answer.verdict:
        say(answer.verdict)
    top = largest_contribution(answer)
    for hit in answer.hits:
        say(
            f"{hit.rank:>3}  {hit.confidence:<6}  {clock(hit.start_s)} - {clock(hit.end_s)}  "
            f"seen {bar(hit.seen / top)} heard {bar(hit.heard / top)}  {hit.score:5.2f}  "
            f"{shown(hit.path)}"
        )
        for line in reasons(hit):
            say(f"             {line}")
        for alias in hit.aliases:
            say(f"             also at {shown(alias)}")


def largest_contribution(answer: Answer) -> float:
    """The value of a full bar: the largest contribution of a modality to a hit, else 1."""
    return max((x for hit in answer.hits for x in (hit.seen, hit.heard) if x > 0), default=1.0)


def reasons(hit: Hit) -> list[str]:
    """Why a hit matched, one line per reason: tags with their presence, and when."""
    lines: list[str] = []
    for modality, part, tags, times, weights in (
        ("seen", hit.seen, hit.seen_tags, hit.frame_times_s, hit.frame_weights),
        ("heard", hit.heard, hit.heard_tags, hit.sound_times_s, hit.sound_weights),
    ):
        words = ", ".join(f"{name} {presence:.0%}" for name, presence in tags)
        counts, best = part > 0 and part >= 0.2 * hit.score, best_times(times, weights)
        if words and counts:
            lines.append(f"{modality}: {words} (best at {', '.join(best)})")
        elif counts and best:
            lines.append(f"{modality} best at {', '.join(best)}")
        elif words:
            lines.append(f"also {modality}: {words}")
    if hit.sound != "sound":
        what = "no sound" if hit.sound == "none" else "a silent track"
        average = ", sound counted as the library's average" if hit.heard else ""
        lines.append(f"{what}: found by sight{average}")
    if hit.av_correspondence is not None:
        lines.append(
            f"sound {'matches' if hit.av_correspondence else 'is unrelated to'} the picture"
        )
    return lines


def best_times(times: tuple[float, ...], weights: tuple[float, ...], count: int = 3) -> list[str]:
    """Times of the strongest tokens, at least half as strong as the best, in order of time."""
    best: dict[str, float] = {}
    for weight, at_s in sorted(zip(weights, times, strict=True), reverse=True):
        if weight >= 0.5 and len(best) < count:
            best.setdefault(clock(at_s), at_s)  # several sound tokens share one time
    return sorted(best, key=best.__getitem__)
