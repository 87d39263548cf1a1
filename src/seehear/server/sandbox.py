"""Decoding in a child process with limits on time and memory.

python -m seehear.server.sandbox WORK LIMIT_BYTES JSON    (an error is one line on stderr)
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seehear.errors import MediaError
from seehear.types import Clip, MediaSpec

LOOK_S = 0.1  # between looks at limits
REFUSED = 5  # exit code of a child that printed its reason


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one child; it is stopped early when `cancel` is set."""

    time_s: float
    memory_bytes: int
    cancel: threading.Event | None = None


def call(work: str, limits: Limits, *, descriptor: int | None = None, **given: Any) -> None:
    """Run one of WORKS in a child, which inherits `descriptor`, and wait.

    Raises: MediaError with the reason.
    """
    command = [sys.executable, "-m", __name__, work, str(limits.memory_bytes), json.dumps(given)]
    inherited = () if descriptor is None else (descriptor,)
    quiet, until = subprocess.DEVNULL, time.monotonic() + limits.time_s
    with subprocess.Popen(
        command, stdin=quiet, stdout=quiet, stderr=subprocess.PIPE, pass_fds=inherited
    ) as child:
        try:
            message = _finished(child, limits, until)
        finally:
            child.kill()
    if child.returncode == REFUSED:
        raise MediaError(message.strip().splitlines()[-1])
    if child.returncode:
        raise MediaError("the file could not be decoded within the limits of this service")


def _finished(child: subprocess.Popen[bytes], limits: Limits, until: float) -> str:
    """Wait for a child; returns its error output. Raises: MediaError when it is stopped."""
    while True:
        try:
            return child.communicate(timeout=LOOK_S)[1].decode(errors="replace")
        except subprocess.TimeoutExpired:
            if limits.cancel is not None and limits.cancel.is_set():
                raise MediaError("the request was cancelled") from None
            if time.monotonic() > until:
                text = f"decoding took longer than {limits.time_s:.0f} s and was stopped"
                raise MediaError(text) from None


def read_example(path: Path, spec: MediaSpec, limits: Limits) -> Clip:
    """`read_any` in a child process. Raises: MediaError."""
    with tempfile.TemporaryDirectory(prefix="seehear-") as folder:
        place = Path(folder) / "clip.npz"
        call("example", limits, path=str(path), spec=asdict(spec), output=str(place))
        with np.load(place, allow_pickle=False) as kept:
            return Clip(
                path=str(path),
                start_s=float(kept["start_s"]),
                end_s=float(kept["end_s"]),
                frames=kept["frames"],
                frame_times_s=kept["frame_times_s"],
                waveform=kept["waveform"],
                sample_rate_hz=int(kept["sample_rate_hz"]),
                sound=str(kept["sound"]),  # type: ignore[arg-type]
            )


def _example(path: str, spec: dict[str, Any], output: str) -> None:
    from seehear.media import read_any

    fields = {k: v for k, v in vars(read_any(Path(path), MediaSpec(**spec))).items() if k != "path"}
    np.savez(output, **fields)


def _frame(path: str, at_s: float, height_px: int, output: str) -> None:
    from seehear.media import read_clip, thumbnail

    spec = MediaSpec(side_px=height_px, frames_per_s=25.0, max_frames=1)
    clip = read_clip(Path(path), max(at_s - 0.02, 0.0), at_s + 0.5, spec)
    if not len(clip.frames):
        raise MediaError("the file has no picture at that time")
    Path(output).write_bytes(thumbnail(clip.frames[0], height_px))


def _proxy(path: str, start_s: float, end_s: float, height_px: int, output: str) -> None:
    from seehear.export import Moment, cut

    moment = Moment(path=path, start_s=start_s, end_s=end_s, fps=0, duration_s=end_s)
    cut(moment, Path(output), exact=True, height_px=height_px)


def _clip(moment: dict[str, Any], exact: bool, output: str) -> None:
    from seehear.export import Moment, cut

    cut(Moment(**moment), Path(output), exact=exact)


WORKS: dict[str, Callable[..., None]] = {
    "example": _example,
    "frame": _frame,
    "proxy": _proxy,
    "clip": _clip,
}


def main() -> int:
    """Run one job of WORKS under a memory limit."""
    work, limit, given = sys.argv[1:]
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (int(limit), int(limit)))
    try:
        WORKS[work](**json.loads(given))
    except (MediaError, MemoryError) as error:
        sys.stderr.write(f"{str(error) or 'the file needs more memory than the limit'}\n")
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
