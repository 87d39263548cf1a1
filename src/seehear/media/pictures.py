"""Frames of a video at wanted times: scaled down, upright, as RGB."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

import av
import numpy as np
from av.error import FFmpegError
from av.packet import Packet
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from jaxtyping import UInt8
from PIL import Image

from seehear.media.shots import ShotFinder
from seehear.types import Resize

RGB = UInt8[np.ndarray, "height width 3"]
MAX_ASPECT = 8.0  # a strip of 10000 x 10 must not become 260000 x 260
THUMB_STEP_S = 0.25
LOW_FPS = 10.0  # below this rate every frame is decoded
REORDER = 6  # a key frame may be shown this many frames after its decoding timestamp
WIDE_GAP_S = 0.4  # at or above LOW_FPS, a gap this wide means that frames were dropped


class FrameScaler:
    """Converts frames to upright RGB of one size: shorter side `side_px`, square pixels."""

    def __init__(self, side_px: int, pixel_aspect: float, *, resize: Resize = "swscale") -> None:
        self._side_px = side_px
        self._resize = self._with_pillow if resize == "pillow" else self._with_swscale
        self._to_pixels = _floor if resize == "pillow" else round
        self._pixel_aspect = pixel_aspect
        self._size: tuple[int, int] | None = None  # width, height before rotation
        self._reformatter = VideoReformatter()

    def scale(self, frame: av.VideoFrame) -> RGB:
        """Scale and rotate a frame as it is shown; every later frame gets the size of the first."""
        if self._size is None:
            self._size = self._fit(frame.width * self._pixel_aspect, frame.height)
        return np.rot90(self._resize(frame, *self._size), quarter_turns(frame))

    def _with_swscale(self, frame: av.VideoFrame, width: int, height: int) -> RGB:
        return self._reformatter.reformat(
            frame, width, height, "rgb24", interpolation=Interpolation.BICUBIC, threads=1
        ).to_ndarray()

    def _with_pillow(self, frame: av.VideoFrame, width: int, height: int) -> RGB:
        full = self._reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
        small = Image.fromarray(full).resize((width, height), Image.Resampling.BICUBIC)
        return np.asarray(small)

    def _fit(self, width: float, height: float) -> tuple[int, int]:
        ratio = min(max(width / height, 1 / MAX_ASPECT), MAX_ASPECT)
        if ratio >= 1:
            return self._to_pixels(self._side_px * ratio), self._side_px
        return self._side_px, self._to_pixels(self._side_px / ratio)


def _floor(length: float) -> int:
    """Round a length down to pixels like transformers; 504 - 6e-14 is 504."""
    return int(length + 1e-6)


def quarter_turns(frame: av.VideoFrame) -> int:
    """Number of 90-degree counterclockwise turns that make the frame upright."""
    return round(frame.rotation / 90) % 4


def pixel_aspect(stream: VideoStream) -> float:
    """Width over height of one pixel as shown; 1.0 if the file does not state it."""
    return float(stream.sample_aspect_ratio or 1) or 1.0


def average_fps(stream: VideoStream) -> float:
    """Average frames per second, else the rate that the headers suggest, else 0.0."""
    return float(stream.average_rate or stream.guessed_rate or 0)


class KeyFrameIndex:
    """Decides which packets need no decoding, from the file's index of key frames."""

    def __init__(self, stream: VideoStream, *, stated_s: float, is_listed: bool) -> None:
        self._tick_s = float(stream.time_base or 0)
        self._is_intra = stream.codec.intra_only
        self.reorder = 1 if self._is_intra else REORDER
        entries = stream.index_entries if is_listed else ()
        self._keys = [entry.timestamp for entry in entries if entry.is_keyframe]
        self._end_s = stated_s if is_listed and stated_s else np.inf
        self._next_key_s = np.inf
        self.is_skipping = False

    def is_skippable(self, packet: Packet, needed_s: float) -> bool:
        """True if all frames from this packet to the next key frame end before `needed_s`."""
        dts = packet.dts or 0
        if packet.is_keyframe:
            at = bisect_right(self._keys, dts)
            self._next_key_s = (
                self._keys[at] * self._tick_s if at < len(self._keys) else self._end_s
            )
            self.is_skipping = False
        if self._is_intra and dts * self._tick_s < needed_s:
            return True
        self.is_skipping = self.is_skipping or self._next_key_s <= needed_s
        return self.is_skipping


class PictureTrack:
    """Decodes the packets of one video stream and keeps the frames nearest to rising wanted times.

    At usual frame rates, frames that no other frame refers to are not decoded, so a kept frame may
    be a few frames away from the wanted time. Only kept frames are converted to RGB.
    """

    def __init__(
        self,
        stream: VideoStream,
        wanted_s: Iterator[float],
        *,
        scaler: FrameScaler,
        origin_s: float,
        stated_s: float,
        find_cuts: bool,
    ) -> None:
        self.frames: list[tuple[float, RGB]] = []  # (time_s, picture), rising
        self.cuts_s: list[float] = []
        self.position_s = 0.0  # later output comes after this time
        self.end_s = 0.0
        self.first_s = np.inf  # time of the first decoded frame
        self.errors = 0
        fps = average_fps(stream)
        self._frame_s = 1 / (fps or 25.0)
        self._codec = stream.codec_context
        self._codec.thread_count = 1
        self._codec.skip_frame = "NONREF" if fps >= LOW_FPS else "DEFAULT"
        self._tick_s = float(stream.time_base or 0)  # frames left in the decoder have no time base
        self._origin_s = origin_s
        self._key_frames = KeyFrameIndex(
            stream, stated_s=stated_s + origin_s, is_listed=not find_cuts
        )
        self._scaler = scaler
        self._wanted_s = wanted_s
        self._next_s = next(wanted_s, np.inf)
        self._last: tuple[float, av.VideoFrame] | None = None
        self._shots = ShotFinder()
        self._next_thumb_s = 0.0 if find_cuts else np.inf
        self._thumbs = VideoReformatter()

    def feed(self, packet: Packet | None) -> None:
        """Decode a packet; None flushes the decoder."""
        try:
            if packet is None or not self._is_skippable(packet):
                for frame in self._codec.decode(packet):
                    self._take(frame)
        except (FFmpegError, ValueError):  # a damaged packet or an unsupported pixel format
            self.errors += 1
            return
        if packet is not None and packet.pts is not None:
            duration_s = (packet.duration or 0) * self._tick_s or self._frame_s
            self.end_s = max(self.end_s, self._time_s(packet) + duration_s)

    def finish(self) -> None:
        """Flush the decoder and keep a frame for the last wanted time."""
        self.feed(None)
        if self._last is not None and (not self.frames or self._next_s < self.end_s):
            self._keep(*self._last)

    def drop_before(self, time_s: float) -> None:
        """Discard frames before `time_s`, except the one that is still shown then."""
        while len(self.frames) > 1 and self.frames[1][0] <= time_s:
            del self.frames[0]
        self.cuts_s = [cut for cut in self.cuts_s if cut > time_s]

    def _is_skippable(self, packet: Packet) -> bool:
        if packet.pts is None or packet.dts is None:
            return False
        needed_s = min(self._next_s, self._next_thumb_s) - self._key_frames.reorder * self._frame_s
        was_skipping = self._key_frames.is_skipping
        if not self._key_frames.is_skippable(packet, needed_s + self._origin_s):
            if was_skipping:
                self._codec.flush_buffers()  # as after a seek: earlier frames are missing
            return False
        self.position_s = max(self.position_s, self._time_s(packet))
        return True

    def _time_s(self, stamped: Packet | av.VideoFrame) -> float:
        if stamped.pts is None:
            return self.position_s + self._frame_s
        return stamped.pts * self._tick_s - self._origin_s

    def _take(self, frame: av.VideoFrame) -> None:
        time_s = self._time_s(frame)
        if self._last is None:
            self.first_s = time_s
        elif time_s <= self._last[0]:
            return
        if self._last is not None and time_s - self._last[0] > WIDE_GAP_S:
            self._codec.skip_frame = "DEFAULT"
        if self._next_s <= time_s:
            self._keep_nearest(time_s, frame)
        if time_s >= self._next_thumb_s:
            self._look_for_cut(time_s, frame)
        self._last = (time_s, frame)
        self.position_s = max(self.position_s, time_s)

    def _keep_nearest(self, time_s: float, frame: av.VideoFrame) -> None:
        last_s = self._last[0] if self._last else -np.inf
        while self._next_s <= time_s:
            if self._last and self._next_s - last_s <= time_s - self._next_s:
                self._keep(*self._last)
            else:
                self._keep(time_s, frame)
            self._next_s = next(self._wanted_s, np.inf)

    def _keep(self, time_s: float, frame: av.VideoFrame) -> None:
        if not self.frames or time_s > self.frames[-1][0]:
            self.frames.append((time_s, self._scaler.scale(frame)))

    def _look_for_cut(self, time_s: float, frame: av.VideoFrame) -> None:
        thumb = self._thumbs.reformat(
            frame, 32, 18, "rgb24", interpolation=Interpolation.AREA, threads=1
        )
        cut_s = self._shots.feed(time_s, thumb.to_ndarray())
        if cut_s is not None:
            self.cuts_s.append(cut_s)
        self._next_thumb_s = time_s + THUMB_STEP_S
