"""Moments to export, and the conversion of seconds to frames and timecodes."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

from seehear.errors import UsageError

NTSC = {nominal: Fraction(nominal * 1000, 1001) for nominal in (24, 30, 60, 120)}
EDITORS = (24, 25, 30, 50, 60)
DROPS = {30: 2, 60: 4}  # frame numbers skipped at each minute, except every tenth


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A stretch [start_s, end_s) of a file; `fps` is 0 for a file without pictures.

    Raises: UsageError if it is empty or starts outside the file.
    """

    path: str
    start_s: float
    end_s: float
    fps: float
    duration_s: float
    has_sound: bool = True
    title: str = ""

    def __post_init__(self) -> None:
        """Check the stretch, and limit its end to that of the file."""
        if not 0 <= self.start_s < min(self.end_s, self.duration_s):
            raise UsageError(
                f"{self.start_s:.3f} to {self.end_s:.3f} s is not a stretch of '{self.path}' "
                f"(length: {self.duration_s:.3f} s)"
            )
        object.__setattr__(self, "end_s", min(self.end_s, self.duration_s))


def exact_rate(fps: float) -> Fraction:
    """Exact frame rate of a measured one, e.g. 24000/1001 for 23.976; 25 without pictures.

    A variable rate has only an average, which editors do not support. It becomes the nearest rate
    of EDITORS, at which times in seconds stay the same.
    """
    if fps <= 0:
        return Fraction(25)
    best = min([*NTSC.values(), Fraction(max(round(fps), 1))], key=lambda rate: abs(rate - fps))
    if abs(best - fps) < 0.005:
        return best
    return Fraction(min(EDITORS, key=lambda rate: abs(rate - fps)))


def frames(moment: Moment, rate: Fraction) -> tuple[int, int]:
    """First frame, and the one after the last, of all frames that the moment overlaps."""
    rounding = Fraction(1, 1000)  # of a frame, because seconds are rounded
    first = floor(Fraction(moment.start_s) * rate + rounding)
    last = ceil(Fraction(moment.end_s) * rate - rounding)
    return first, max(last, first + 1)


def timecode(frame: int, rate: Fraction) -> str:
    """Timecode hh:mm:ss:ff; drop-frame timecode hh:mm:ss;ff at 29.97 and 59.94.

    Source: SMPTE ST 12-1; frame numbers 0 and 1 (0 to 3 at 59.94) are skipped every minute except
    every tenth, so that the timecode follows the clock at 30000/1001.
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
