"""Write test clips with colours and tones at known seconds, and measure decoded ones."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np

RED, GREEN, BLUE, GREY = (220, 20, 20), (20, 200, 20), (20, 20, 220), (128, 128, 128)
MILLI = Fraction(1, 1000)


def write_clip(  # noqa: PLR0913  one argument per property of a media file
    path: Path,
    *,
    seconds: float = 4.0,
    fps: float = 25.0,
    size: tuple[int, int] = (64, 48),
    shots: Sequence[tuple[float, tuple[int, int, int]]] = ((0.0, RED),),
    times_s: Sequence[float] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    sounds: Sequence[np.ndarray] = (),
    rate_hz: int = 48000,
    layout: str = "stereo",
    sound_codec: str = "aac",
    sound_at_s: float = 0.0,
    rotation: int = 0,
    pixel_aspect: Fraction | None = None,
    default_sound: int = 0,
    file_options: dict[str, str] | None = None,
) -> Path:
    """Write a file whose frames have the colour of the latest of `shots`; fps=0 writes no video."""
    if times_s is None:
        times_s = np.arange(round(seconds * fps)) / fps if fps else []
    format_name = {".mka": "matroska", ".ts": "mpegts"}.get(path.suffix)
    with av.open(str(path), "w", format=format_name, options=file_options or {}) as container:
        video = None
        if fps:
            video = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1000))
            video.width, video.height = size
            video.pix_fmt, video.options = pix_fmt, options or {}
            video.codec_context.time_base = MILLI if codec == "libx264" else Fraction(1, int(fps))
            if pixel_aspect:
                video.codec_context.sample_aspect_ratio = pixel_aspect
            if rotation:
                video.set_display_rotation(rotation)
        tracks = [container.add_stream(sound_codec, rate=rate_hz, layout=layout) for _ in sounds]
        for index, track in enumerate(tracks):
            is_default = index == default_sound
            track.disposition = av.stream.Disposition.default if is_default else 0
        packets = [_sound_packets(t, s, sound_at_s) for t, s in zip(tracks, sounds, strict=True)]
        packets += [_picture_packets(video, times_s, shots)] if video else []
        for packet in sorted(chain(*packets), key=lambda p: float((p.dts or 0) * p.time_base)):
            container.mux(packet)
    return path


def _picture_packets(video, times_s, shots):
    packets, base = [], video.codec_context.time_base
    for time_s in times_s:
        colour = [rgb for start_s, rgb in shots if start_s <= time_s + 1e-6][-1]
        pixels = np.full((video.height, video.width, 3), colour, np.uint8)
        frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
        frame.pts, frame.time_base = round(time_s / base), base
        packets += video.encode(frame)
    return packets + video.encode(None)


def _sound_packets(track, samples, at_s):
    planes = samples if samples.ndim == 2 else np.tile(samples, (track.layout.nb_channels, 1))
    packets = []
    for start in range(0, planes.shape[1], 4096):
        block = np.ascontiguousarray(planes[:, start : start + 4096])
        frame = av.AudioFrame.from_ndarray(block, "fltp", track.layout.name)
        frame.sample_rate, frame.time_base = track.rate, Fraction(1, track.rate)
        frame.pts = start + round(at_s * track.rate)
        packets += track.encode(frame)
    return packets + track.encode(None)


def tone(seconds: float, *stretches: tuple[float, float], rate_hz: int = 48000, hz: float = 440.0):
    """Silence of `seconds` with a tone of amplitude 0.5 in each stretch."""
    times_s = np.arange(round(seconds * rate_hz)) / rate_hz
    is_on = np.zeros(len(times_s), bool)
    for start_s, end_s in stretches:
        is_on |= (times_s >= start_s) & (times_s < end_s)
    return (0.5 * np.sin(2 * np.pi * hz * times_s) * is_on).astype(np.float32)


def loudness(clip, start_s: float, end_s: float) -> float:
    """Root mean square of the clip's sound in [start_s, end_s) of the file."""
    rate_hz = clip.sample_rate_hz
    part = clip.waveform[round((start_s - clip.start_s) * rate_hz) :][
        : round((end_s - start_s) * rate_hz)
    ]
    return float(np.sqrt(np.mean(np.square(part, dtype=np.float64))))


def colour(frame) -> tuple[int, int, int]:
    """The known colour nearest to the middle of a frame."""
    height, width = frame.shape[:2]
    middle = frame[height // 4 : -height // 4, width // 4 : -width // 4].mean(axis=(0, 1))
    known = np.array([RED, GREEN, BLUE, GREY])
    return tuple(int(v) for v in known[np.abs(known - middle).sum(axis=1).argmin()])
