"""Export moments as a timeline, one after the other: OpenTimelineIO and CMX3600 edit lists."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from seehear.errors import UsageError
from seehear.export.moments import Moment, exact_rate, frames, timecode


def to_otio(moments: Sequence[Moment], *, name: str = "seehear") -> str:
    """Return an .otio timeline with a video and an audio track, each clip at its own rate.

    Raises: UsageError without the extra [otio].
    """
    try:
        import opentimelineio as otio
    except ImportError as error:
        raise UsageError(".otio files need opentimelineio: pip install 'seehear[otio]'") from error
    timeline = otio.schema.Timeline(name)
    for kind in (otio.schema.TrackKind.Video, otio.schema.TrackKind.Audio):
        track = otio.schema.Track(kind, kind=kind)
        for moment in moments:
            is_there = moment.has_sound if kind == otio.schema.TrackKind.Audio else moment.fps > 0
            track.append(_clip(otio, moment) if is_there else _gap(otio, moment))
        timeline.tracks.append(track)
    return timeline.to_json_string(indent=1)


def _clip(otio: Any, moment: Moment) -> Any:
    rate = exact_rate(moment.fps)
    first, last = frames(moment, rate)
    return otio.schema.Clip(
        name=moment.title or Path(moment.path).name,
        media_reference=otio.schema.ExternalReference(
            target_url=Path(moment.path).absolute().as_uri(),
            available_range=_range(otio, 0, max(last, round(moment.duration_s * rate)), rate),
        ),
        source_range=_range(otio, first, last, rate),
    )


def _gap(otio: Any, moment: Moment) -> Any:
    rate = exact_rate(moment.fps)
    first, last = frames(moment, rate)
    return otio.schema.Gap(source_range=_range(otio, 0, last - first, rate))


def _range(otio: Any, first: int, last: int, rate: Fraction) -> Any:
    time = otio.opentime
    return time.TimeRange(
        time.RationalTime(first, float(rate)), time.RationalTime(last - first, float(rate))
    )


def to_edl(moments: Sequence[Moment], *, title: str = "seehear") -> str:
    """Return a CMX3600 edit list, recorded at the frame rate of the first moment.

    Source times are in frames of their source, record times in frames of the list; FCM lines mark
    drop-frame rates. The format does not support sources longer than 24 hours.

    Raises: UsageError without moments.
    """
    if not moments:
        raise UsageError("an edit list needs at least one moment")
    rate = exact_rate(moments[0].fps)
    lines = [f"TITLE: {_clean(title)[:70]}"]
    at, mode = 0, ""
    for number, moment in enumerate(moments, start=1):
        own = exact_rate(moment.fps)
        first, last = frames(moment, own)
        length = max(1, round(Fraction(last - first) / own * rate))
        source = [timecode(frame, own) for frame in (first, last)]
        record = [timecode(frame, rate) for frame in (at, at + length)]
        counted = "DROP FRAME" if ";" in source[0] else "NON-DROP FRAME"
        if counted != mode:
            lines.append(f"FCM: {counted}")
            mode = counted
        kind = ("B" if moment.has_sound else "V") if moment.fps else "A"  # B: both
        lines.append(
            f"{number % 1000:03d}  AX       {kind:<5} C        {' '.join(source + record)}"
        )
        lines.append(f"* FROM CLIP NAME: {_clean(Path(moment.path).name)}")
        lines.append(f"* SOURCE FILE: {_clean(moment.path)}")
        if moment.title:
            lines.append(f"* COMMENT: {_clean(moment.title)}")
        at += length
    return "\n".join(lines) + "\n"


def _clean(text: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in text)
