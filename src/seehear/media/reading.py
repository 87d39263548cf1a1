"""Read parts of a file: a stretch, a still picture, all of its sound, or a query file."""

from __future__ import annotations

from math import inf
from pathlib import Path

import numpy as np
from av.video.codeccontext import VideoCodecContext

from seehear.errors import MediaError
from seehear.media.container import audio_stream, duration_s, is_still, open_media
from seehear.media.pictures import RGB, FrameScaler, pixel_aspect
from seehear.media.playback import Playback
from seehear.media.samplers import per_second_times
from seehear.media.shots import LONGEST_S
from seehear.media.sound import Samples
from seehear.types import Clip, MediaSpec

MAX_PIXELS = 120_000_000  # of a still picture; decoding takes up to seven bytes per pixel
SEEK_BACK_S = (1.0, 20.0, inf)  # decoders, of sound too, need some packets before the start


def read_clip(path: Path, start_s: float, end_s: float, spec: MediaSpec) -> Clip:
    """Decode the stretch [start_s, end_s) of a file, or the part of it that exists.

    Raises: MediaError if the file ends before `start_s`; ValueError unless 0 <= start_s < end_s.
    """
    if not 0 <= start_s < end_s:
        raise ValueError(f"expected 0 <= start_s < end_s, got {start_s=}, {end_s=}")
    for back_s in SEEK_BACK_S:  # some formats seek past the wanted time: retry from further back
        clip = _read_stretch(path, start_s, end_s, spec, from_s=max(start_s - back_s, 0.0))
        if clip is not None:
            return clip
    raise MediaError(f"{path.name!r} ends before {start_s:.1f} s; choose an earlier start")


def _read_stretch(
    path: Path, start_s: float, end_s: float, spec: MediaSpec, *, from_s: float
) -> Clip | None:
    wanted_s = per_second_times(start_s, end_s, spec.frames_per_s, spec.max_frames)
    with open_media(path) as container:
        playback = Playback(path, container, spec, wanted_s=iter(wanted_s.tolist()))
        if from_s > 0:
            playback.seek(from_s)
        is_over = all(position_s < end_s for position_s in playback.advance())  # stops at end_s
        playback.finish()
        end_s = min(end_s, playback.end_s) if is_over else end_s
        if end_s <= start_s or (playback.first_s > start_s and from_s > 0):
            return None
        playback.check_not_empty()
        return playback.take(start_s, end_s)


def read_picture(path: Path, spec: MediaSpec) -> RGB:
    """Decode a still picture, shorter side `spec.side_px`.

    Raises: MediaError if the file is not a still picture or cannot be decoded.
    """
    with open_media(path, allow_still=True) as container:
        if not is_still(container) or not container.streams.video:
            raise MediaError(f"{path.name!r} is not a still picture; expected jpg, png or webp")
        stream = container.streams.video[0]
        has_decoder = isinstance(stream.codec_context, VideoCodecContext)  # pyright: ignore[reportUnnecessaryIsInstance]
        if not has_decoder:  # e.g. SVG
            raise MediaError(
                f"{path.name!r} is in a format that cannot be decoded; convert it to png"
            )
        stream.codec_context.thread_count = 1
        if stream.width * stream.height > MAX_PIXELS:
            raise MediaError(
                f"{path.name!r} has {stream.width} x {stream.height} pixels; "
                f"the limit is {MAX_PIXELS / 1e6:.0f} million: scale it down"
            )
        for frame in container.decode(stream):
            scaler = FrameScaler(spec.side_px, pixel_aspect(stream), resize=spec.resize)
            return np.ascontiguousarray(scaler.scale(frame))
    raise MediaError(f"{path.name!r} contains no picture that can be decoded; copy it again")


def is_picture(path: Path) -> bool:
    """True if the file is a still picture, by its content.

    Raises: MediaError if it cannot be opened as media.
    """
    with open_media(path, allow_still=True) as container:
        return is_still(container)


def read_sound(path: Path, spec: MediaSpec) -> Samples:
    """Decode all sound of a file, one channel at `spec.sample_rate_hz`.

    Raises: MediaError if the file has no sound.
    """
    with open_media(path) as container:
        if audio_stream(container) is None:
            raise MediaError(f"{path.name!r} has no sound; expected a sound or a video with sound")
        playback = Playback(path, container, spec, only_sound=True)
        for _ in playback.advance():
            pass
        playback.finish()
        playback.check_not_empty()
        return playback.take(0.0, playback.end_s).waveform


def read_any(path: Path, spec: MediaSpec) -> Clip:
    """Decode a query file: a picture, or at most the first 32 s of a sound or a video.

    A picture becomes a clip of one frame, from 0 to 0 s, without sound.

    Raises: MediaError if the file is none of these.
    """
    if not is_picture(path):
        with open_media(path) as container:
            stated_s = duration_s(container)
        return read_clip(path, 0.0, min(stated_s or LONGEST_S, LONGEST_S), spec)
    return Clip(
        path=str(path),
        start_s=0.0,
        end_s=0.0,
        frames=read_picture(path, spec)[None],
        frame_times_s=np.zeros(1),
        waveform=np.zeros(0, np.float32),
        sample_rate_hz=spec.sample_rate_hz,
        sound="none",
    )
