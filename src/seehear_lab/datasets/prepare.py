"""Copy a data set with smaller videos, as in the papers: 3 frames per second, short side 224."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from jaxtyping import UInt8

from seehear.errors import MediaError
from seehear.media import probe, read_clip
from seehear.types import Clip, MediaSpec
from seehear_lab.datasets.spec import DataSet

FPS, SIDE_PX, RATE_HZ = 3, 224, 16000


def prepare(
    data: DataSet, root: Path, *, on_log: Callable[[str], None] = lambda line: None
) -> list[str]:
    """Write smaller copies of all videos, and the list files, into `root`.

    Returns the videos that could not be copied, with the reason. Existing copies are kept, and a
    copy gets its name only when it is complete: run it again after an interruption.

    Note: compression changes R@1 by up to a point; state in a result that copies were used.
    """
    for name in data.list_files:
        if (data.root / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(data.root / name, root / name)
    left_out, made = [], dict[Path, Path]()
    for number, path in enumerate(dict.fromkeys(data.files.values()), start=1):
        relative = path.relative_to(data.folder).with_suffix(".mp4")
        target = root / data.spec.videos / relative
        if made.setdefault(target, path) != path:
            left_out.append(f"{path.name} (its copy would overwrite that of {made[target].name})")
        elif not target.exists():
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                copy(path, target)
            except MediaError as error:
                left_out.append(f"{path.name} ({error})")
        if number % 100 == 0:
            on_log(f"{number} videos prepared")
    return left_out


def copy(path: Path, target: Path) -> None:
    """Copy one video at 3 frames per second, with mono sound at 16 kHz.

    Raises: MediaError if it cannot be read.
    """
    duration_s = probe(path).duration_s
    if duration_s <= 0:
        raise MediaError(f"the header of {path.name!r} has no duration; copy the file again")
    most = max(round(duration_s * FPS), 4)
    spec = MediaSpec(side_px=SIDE_PX, frames_per_s=FPS, max_frames=most, sample_rate_hz=RATE_HZ)
    clip = read_clip(path, 0.0, duration_s, spec)
    if not len(clip.frames):
        raise MediaError(f"{path.name!r} has no frames")
    partial = target.with_suffix(".partial.mp4")
    _write(partial, clip)
    partial.rename(target)


def _write(path: Path, clip: Clip) -> None:
    frames = _even(clip.frames)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS)
        video.height, video.width = frames.shape[1:3]
        video.pix_fmt, video.options = "yuv420p", {"crf": "18"}
        video.codec_context.time_base = Fraction(1, 1000)
        audio = None
        if clip.sound != "none":
            audio = container.add_stream("aac", rate=RATE_HZ, layout="mono")
        for picture, time_s in zip(frames, clip.frame_times_s, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = round(1000 * time_s), Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None:
            block = av.AudioFrame.from_ndarray(clip.waveform[None], "fltp", "mono")
            block.sample_rate = RATE_HZ
            container.mux(audio.encode(block))
            container.mux(audio.encode(None))


def _even(
    frames: UInt8[np.ndarray, "frame height width 3"],
) -> UInt8[np.ndarray, "frame even_height even_width 3"]:
    """Drop a last odd row or column: H.264 needs even sides."""
    height, width = frames.shape[1:3]
    return np.ascontiguousarray(frames[:, : height // 2 * 2, : width // 2 * 2])
