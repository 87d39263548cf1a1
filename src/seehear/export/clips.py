"""Cut moments into clip files: packets copied, or re-encoded to the exact frame."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error

from seehear.errors import MediaError
from seehear.export.moments import Moment

FAST = {"preset": "veryfast", "crf": "20"}


def cut(moment: Moment, output: Path, *, exact: bool = False, height_px: int | None = None) -> Path:
    """Write a moment to a file; the suffix of `output` selects the container.

    Copying is fast and lossless, but starts at the key frame at or before the start. `exact`
    re-encodes (H.264 and AAC) with exact start and end; `height_px` does so and scales down.

    Raises: MediaError if the file cannot be read or the container does not support its streams.
    """
    partial = output.with_name(f".{output.stem}.{os.getpid()}.partial{output.suffix}")
    try:
        with av.open(moment.path) as source, av.open(str(partial), "w") as target:
            if exact or height_px:
                _encode(source, target, moment, height_px)
            else:
                _copy(source, target, moment)
        partial.replace(output)
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise MediaError(f"'{moment.path}' could not be cut to '{output.name}': {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return output


def _streams(source: Any) -> list[Any]:
    chosen = [next(iter(source.streams.video), None), next(iter(source.streams.audio), None)]
    if not any(chosen):
        raise ValueError("it has no video and no audio stream")
    return [stream for stream in chosen if stream is not None]


def _copy(source: Any, target: Any, moment: Moment) -> None:
    streams = _streams(source)
    outputs = {stream.index: target.add_stream_from_template(stream) for stream in streams}
    origin_s = (source.start_time or 0) / av.time_base
    source.seek(int((moment.start_s + origin_s) * av.time_base), backward=True)
    first_s: Fraction | None = None
    for packet in source.demux(streams):
        if packet.dts is None or packet.pts is None:
            continue
        time_s = packet.pts * packet.time_base
        if first_s is None:
            first_s = Fraction(time_s)
        if time_s - Fraction(origin_s) >= Fraction(moment.end_s) and packet.is_keyframe:
            if packet.stream is streams[0]:
                break
            continue
        if time_s < first_s:
            continue
        shift = round(first_s / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        packet.stream = outputs[packet.stream.index]
        target.mux(packet)


def _encode(source: Any, target: Any, moment: Moment, height_px: int | None) -> None:
    origin_s = (source.start_time or 0) / av.time_base
    streams = _streams(source)
    encoders = {stream.index: _encoder(target, stream, height_px) for stream in streams}
    source.seek(int(max(moment.start_s + origin_s - 1, 0) * av.time_base), backward=True)
    finished: set[int] = set()
    for packet in source.demux(streams):
        for frame in packet.decode():
            time_s = float(frame.time or 0) - origin_s
            if time_s >= moment.end_s:
                finished.add(packet.stream.index)
            elif time_s >= moment.start_s - 1e-6 and packet.stream.index not in finished:
                _put(target, encoders[packet.stream.index], frame, time_s - moment.start_s)
        if len(finished) == len(streams):
            break
    for encoder in encoders.values():
        target.mux(encoder.encode(None))


def _encoder(target: Any, stream: Any, height_px: int | None) -> Any:
    if stream.type == "audio":
        rate = stream.codec_context.sample_rate or 48000
        return target.add_stream("aac", rate=rate)
    rate = stream.average_rate or Fraction(25)
    encoder = target.add_stream("libx264", rate=rate, options=FAST)
    height = min(height_px or stream.height, stream.height)
    width = round(stream.width * height / stream.height)
    encoder.width, encoder.height = width // 2 * 2, height // 2 * 2
    encoder.pix_fmt, encoder.codec_context.time_base = "yuv420p", Fraction(1, 90000)
    return encoder


def _put(target: Any, encoder: Any, frame: Any, time_s: float) -> None:
    if isinstance(frame, av.VideoFrame):
        frame = frame.reformat(encoder.width, encoder.height, "yuv420p")
        frame.pict_type = 0  # chosen by the encoder, not copied from the source
        frame.time_base, frame.pts = Fraction(1, 90000), round(time_s * 90000)
    else:
        frame.time_base = Fraction(1, frame.sample_rate)
        frame.pts = round(time_s * frame.sample_rate)
    target.mux(encoder.encode(frame))
