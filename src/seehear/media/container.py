"""Open media files safely with libav, choose their streams, and read their clock."""

from __future__ import annotations

import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.stream import Stream as AvStream
from av.video.stream import VideoStream

from seehear.errors import MediaError

NOT_MEDIA = {
    "tty",
    "hls",
    "concat",
    "dash",
    "sdp",
}  # text that libav would render, or follow to other files
STILL_BRANDS = {"avif", "heic", "heix", "mif1"}


@contextmanager
def open_media(path: Path, *, allow_still: bool = False) -> Generator[InputContainer]:
    """Open a media file for a `with` block; errors of libav inside the block become MediaError.

    Raises: MediaError if the file is absent, not media, or a still picture (unless allowed).
    """
    try:
        _check_readable(path)
        # "file:" and the white list stop names like "concat:a", and playlists, from opening others
        options = {"protocol_whitelist": "file"}
        with av.open(f"file:{path}", metadata_errors="replace", options=options) as container:
            _check_kind(path, container, allow_still)
            yield container
    except (FFmpegError, OSError) as error:
        raise MediaError(_describe(path, error)) from error


def _check_readable(path: Path) -> None:
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise MediaError(f"{path.name!r} is a folder, expected a media file; name a file in it")
    if not stat.S_ISREG(status.st_mode):
        raise MediaError(f"{path.name!r} is a device or pipe, expected a file; copy it to one")
    if status.st_size == 0:
        raise MediaError(f"{path.name!r} is empty (0 bytes); copy or download it again")
    path.open("rb").close()


def _check_kind(path: Path, container: InputContainer, allow_still: bool) -> None:
    if container.format.name in NOT_MEDIA:
        raise MediaError(f"{path.name!r} is text, expected video or sound; exclude it")
    if is_still(container) and not allow_still:
        raise MediaError(f"{path.name!r} is a still picture, expected video or sound; exclude it")


def _describe(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{path.name!r} does not exist (looked in '{path.parent}'); check the path"
    if isinstance(error, PermissionError):
        return f"{path.name!r} cannot be read (permission denied); change its permissions"
    reason = getattr(error, "strerror", None) or type(error).__name__
    if not isinstance(error, FFmpegError):
        return f"{path.name!r} could not be read ({reason}); check the disk and the path"
    return (
        f"{path.name!r} cannot be read as video or sound ({reason.lower()}); "
        "it may be cut short, damaged or another kind of file: copy it again or leave it out"
    )


def is_still(container: InputContainer) -> bool:
    """True for still pictures (jpeg, png, webp, bmp, avif, heic ...), whatever the file name."""
    name = container.format.name
    brand = container.metadata.get("major_brand", "")
    return name.endswith("_pipe") or name == "image2" or brand in STILL_BRANDS


def video_stream(container: InputContainer) -> VideoStream | None:
    """The video stream to use: the default, else the first; cover art does not count."""
    covers = Disposition.attached_pic | Disposition.timed_thumbnails
    usable = [s for s in container.streams.video if _has_decoder(s) and not s.disposition & covers]
    return min(usable, key=_is_not_default, default=None)


def audio_stream(container: InputContainer) -> AudioStream | None:
    """The audio stream to use: the default, else the first."""
    usable = [s for s in container.streams.audio if _has_decoder(s)]
    return min(usable, key=_is_not_default, default=None)


def check_streams(
    path: Path, container: InputContainer
) -> tuple[VideoStream | None, AudioStream | None]:
    """The streams to use, at least one of them.

    Raises: MediaError if the file has neither.
    """
    video, audio = video_stream(container), audio_stream(container)
    if video is None and audio is None:
        kinds = ", ".join(stream.type for stream in container.streams) or "nothing"
        raise MediaError(
            f"{path.name!r} has no video or sound that can be decoded (found: {kinds}); "
            "convert it or leave it out"
        )
    return video, audio


def _has_decoder(stream: AvStream) -> bool:
    return bool(stream.codec_context)


def _is_not_default(stream: AvStream) -> bool:
    return not stream.disposition & Disposition.default


def origin_s(container: InputContainer) -> float:
    """Timestamp of the file's start, to subtract from the timestamps of frames and sound."""
    return (container.start_time or 0) / av.time_base


def duration_s(container: InputContainer) -> float:
    """Duration stated by the headers; 0.0 if they state none."""
    if container.duration:
        return max(container.duration / av.time_base, 0.0)
    known = [s.duration * s.time_base for s in container.streams if s.duration and s.time_base]
    return float(max(known, default=0.0))
