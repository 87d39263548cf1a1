"""Read the metadata of a media file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Stream as AvStream
from av.video.stream import VideoStream

from seehear.media.container import check_streams, duration_s, open_media
from seehear.media.pictures import average_fps, pixel_aspect, quarter_turns
from seehear.types import MediaInfo, Stream


def probe(path: Path) -> MediaInfo:
    """Read duration, size, rates and streams of a file; `is_default` marks the streams to use.

    `rotation_deg` is clockwise; width and height are those after rotation.
    Raises: MediaError if the file cannot be read as video or sound.
    Note: decodes one key frame, because libav reports the rotation per frame.
    """
    with open_media(path) as container:
        video, audio = check_streams(path, container)
        chosen = [stream for stream in (video, audio) if stream is not None]
        rotation_deg = _rotation_deg(container, video) if video else 0
        width, height = _shown_size(video, rotation_deg) if video else (0, 0)
        return MediaInfo(
            path=str(path),
            duration_s=duration_s(container),
            fps=average_fps(video) if video else 0.0,
            width=width,
            height=height,
            rotation_deg=rotation_deg,
            has_video=video is not None,
            has_audio=audio is not None,
            audio_rate_hz=audio.codec_context.sample_rate if audio else 0,
            codec="+".join(stream.codec_context.name for stream in chosen),
            streams=tuple(_describe(stream, chosen) for stream in container.streams),
        )


def _rotation_deg(container: InputContainer, video: VideoStream) -> int:
    video.codec_context.thread_count = 1
    try:
        for packet in container.demux(video):
            if packet.is_keyframe and packet.size:
                frames = video.codec_context.decode(packet) or video.codec_context.decode(None)
                return -90 * quarter_turns(frames[0]) % 360 if frames else 0
    except (FFmpegError, IndexError):  # damage is reported when the file is decoded
        return 0
    return 0


def _shown_size(video: VideoStream, rotation_deg: int) -> tuple[int, int]:
    width, height = (
        round(video.codec_context.width * pixel_aspect(video)),
        video.codec_context.height,
    )
    return (height, width) if rotation_deg % 180 else (width, height)


def _describe(stream: AvStream, chosen: Sequence[AvStream]) -> Stream:
    kind = stream.type if stream.type in ("video", "audio") else "other"
    return Stream(
        index=stream.index,
        kind=kind,
        codec=stream.codec_context.name if stream.codec_context else "unknown",
        is_default=stream in chosen,
        language=stream.language or "",
    )
