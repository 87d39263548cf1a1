"""What an export is made of, and how its seconds become frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

from seehear.errors import UsageError

NTSC = {nominal: Fraction(nominal * 1000, 1001) for nominal in (24, 30, 60, 120)}
DROPS = {30: 2, 60: 4}  # frame numbers left out at each minute but the tenth


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A stretch [start_s, end_s) of a file; `fps` is 0 for sound alone."""

    path: str
    start_s: float
    end_s: float
    fps: float
    duration_s: float
    title: str = ""


def moments_of(rows: Sequence[tuple[str, float, float, float, float, str]]) -> list[Moment]:
    """Moments from (path, start_s, end_s, fps, duration_s, title).

    Raises: UsageError for a stretch that is empty or lies outside its file.
    """
    for path, start_s, end_s, _, duration_s, _ in rows:
        if not 0 <= start_s < end_s or start_s >= duration_s:
            raise UsageError(f"{start_s:.3f} to {end_s:.3f} s is no stretch of '{path}'")
    return [
        Moment(path=path, start_s=a, end_s=min(b, length), fps=fps, duration_s=length, title=title)
        for path, a, b, fps, length, title in rows
    ]


def exact_rate(fps: float) -> Fraction:
    """The rate that a measured one means: 23.976 is 24000/1001; 25 for sound alone.

    A source of varying rate has an average that means nothing else; it is kept to the thousandth.
    """
    if fps <= 0:
        return Fraction(25)
    whole = Fraction(round(fps))
    candidates = [*NTSC.values(), whole] if whole else list(NTSC.values())
    best = min(candidates, key=lambda rate: abs(float(rate) - fps))
    return best if abs(float(best) - fps) < 0.005 else Fraction(round(fps * 1000), 1000)


def frames(moment: Moment, rate: Fraction) -> tuple[int, int]:
    """First frame, and the frame behind the last: the whole frames that the moment touches."""
    tiny = Fraction(1, 1000)  # of a frame: seconds are rounded
    first = floor(Fraction(moment.start_s) * rate + tiny)
    last = ceil(Fraction(moment.end_s) * rate - tiny)
    return first, max(last, first + 1)


def timecode(frame: int, rate: Fraction) -> str:
    """hh:mm:ss:ff as an editor counts; with drop frames hh:mm:ss;ff at 29.97 and 59.94.

    Source: SMPTE ST 12-1; numbers 0 and 1 (0 to 3 at 59.94) are left out each minute, not each
    tenth, so that the clock keeps up with a rate of 30000/1001.
    """
    nominal = max(1, round(rate))
    drop = DROPS.get(nominal, 0) if rate.denominator == 1001 else 0
    if drop:
        per_minute, per_ten = 60 * nominal - drop, 600 * nominal - 9 * drop
        tens, rest = divmod(frame, per_ten)
        minutes = 0 if rest < 60 * nominal else 1 + (rest - 60 * nominal) // per_minute
        frame += drop * (9 * tens + minutes)
    seconds, number = divmod(frame, nominal)
    mark = ";" if drop else ":"
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{mark}{number:02d}"
