"""Pictures of a video: the frames nearest to wanted times, small, upright, as RGB."""

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
LONGEST_ASPECT = 8.0  # a stripe of 10000 x 10 must not become 260000 x 260
THUMB_STEP_S = 0.25
FEW_FPS = 10.0  # below, every frame counts
REORDER = 6  # frames that a key frame may be shown later than its decoding stamp says
WIDE_GAP_S = 0.4  # at or above FEW_FPS: so far apart lie only frames whose neighbours were dropped


class FrameScaler:
    """Decoded frames -> RGB of one size: shorter side `side_px`, square pixels, upright."""

    def __init__(self, side_px: int, pixel_aspect: float, *, resize: Resize = "swscale") -> None:
        self._side_px = side_px
        self._scale = self._as_pillow if resize == "pillow" else self._by_swscale
        self._whole = _floor if resize == "pillow" else round
        self._pixel_aspect = pixel_aspect
        self._size: tuple[int, int] | None = None  # width, height before turning
        self._reformatter = VideoReformatter()

    def scale(self, frame: av.VideoFrame) -> RGB:
        """The frame as it is shown; every later frame gets the size of the first."""
        if self._size is None:
            self._size = self._fit(frame.width * self._pixel_aspect, frame.height)
        return np.rot90(self._scale(frame, *self._size), quarter_turns(frame))

    def _by_swscale(self, frame: av.VideoFrame, width: int, height: int) -> RGB:
        return self._reformatter.reformat(
            frame, width, height, "rgb24", interpolation=Interpolation.BICUBIC, threads=1
        ).to_ndarray()

    def _as_pillow(self, frame: av.VideoFrame, width: int, height: int) -> RGB:
        whole = self._reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
        small = Image.fromarray(whole).resize((width, height), Image.Resampling.BICUBIC)
        return np.asarray(small)

    def _fit(self, width: float, height: float) -> tuple[int, int]:
        ratio = min(max(width / height, 1 / LONGEST_ASPECT), LONGEST_ASPECT)
        if ratio >= 1:
            return self._whole(self._side_px * ratio), self._side_px
        return self._side_px, self._whole(self._side_px / ratio)


def _floor(length: float) -> int:
    """The whole pixels in a length, as transformers counts them; 504 - 6e-14 is 504."""
    return int(length + 1e-6)


def quarter_turns(frame: av.VideoFrame) -> int:
    """How often to turn the frame by 90 degrees counterclockwise, as the file demands."""
    return round(frame.rotation / 90) % 4


def pixel_aspect(stream: VideoStream) -> float:
    """Width over height of one pixel as shown; 1.0 where the file does not say."""
    return float(stream.sample_aspect_ratio or 1) or 1.0


def average_fps(stream: VideoStream) -> float:
    """Pictures a second over the whole file, else the rate its headers suggest, else 0.0."""
    return float(stream.average_rate or stream.guessed_rate or 0)


class KeyFrames:
    """Knows from the file's index where groups of pictures begin, to leave out the rest of one."""

    def __init__(self, stream: VideoStream, *, stated_s: float, is_listed: bool) -> None:
        self._tick_s = float(stream.time_base or 0)
        self._is_intra = stream.codec.intra_only
        self.reorder = 1 if self._is_intra else REORDER
        entries = stream.index_entries if is_listed else ()
        self._keys = [entry.timestamp for entry in entries if entry.is_keyframe]
        self._end_s = stated_s if is_listed and stated_s else np.inf
        self._next_key_s = np.inf
        self.is_leaving_out = False

    def is_needless(self, packet: Packet, needed_s: float) -> bool:
        """True if no picture from this packet to the next key frame is shown at `needed_s`."""
        dts = packet.dts or 0
        if packet.is_keyframe:
            at = bisect_right(self._keys, dts)
            self._next_key_s = (
                self._keys[at] * self._tick_s if at < len(self._keys) else self._end_s
            )
            self.is_leaving_out = False
        if self._is_intra and dts * self._tick_s < needed_s:
            return True
        self.is_leaving_out = self.is_leaving_out or self._next_key_s <= needed_s
        return self.is_leaving_out


class PictureTrack:
    """Fed with the packets of one stream, keeps the frames nearest to rising wanted times.

    Frames that no other frame refers to are not decoded where there are enough others, so a kept
    frame may lie a few frames beside the wanted time. Only kept frames are converted to RGB.
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
        self.position_s = 0.0  # what comes next lies behind it
        self.end_s = 0.0
        self.first_s = np.inf  # time of the first decoded frame
        self.errors = 0
        fps = average_fps(stream)
        self._frame_s = 1 / (fps or 25.0)
        self._codec = stream.codec_context
        self._codec.thread_count = 1
        self._codec.skip_frame = "NONREF" if fps >= FEW_FPS else "DEFAULT"
        self._tick_s = float(stream.time_base or 0)  # frames left in the decoder know no time base
        self._origin_s = origin_s
        self._groups = KeyFrames(stream, stated_s=stated_s + origin_s, is_listed=not find_cuts)
        self._scaler = scaler
        self._wanted_s = wanted_s
        self._next_s = next(wanted_s, np.inf)
        self._last: tuple[float, av.VideoFrame] | None = None
        self._shots = ShotFinder()
        self._next_thumb_s = 0.0 if find_cuts else np.inf
        self._thumbs = VideoReformatter()

    def feed(self, packet: Packet | None) -> None:
        """Decode a packet, or with None what the decoder still holds."""
        try:
            if packet is None or not self._is_needless(packet):
                for frame in self._codec.decode(packet):
                    self._take(frame)
        except (FFmpegError, ValueError):  # a damaged packet, or pixels nobody can convert
            self.errors += 1
            return
        if packet is not None and packet.pts is not None:
            duration_s = (packet.duration or 0) * self._tick_s or self._frame_s
            self.end_s = max(self.end_s, self._time_s(packet) + duration_s)

    def finish(self) -> None:
        """Decode what is left and serve the wanted time that the end has left open."""
        self.feed(None)
        if self._last is not None and (not self.frames or self._next_s < self.end_s):
            self._keep(*self._last)

    def drop_before(self, time_s: float) -> None:
        """Forget pictures before `time_s`, all but the one that is still shown then."""
        while len(self.frames) > 1 and self.frames[1][0] <= time_s:
            del self.frames[0]
        self.cuts_s = [cut for cut in self.cuts_s if cut > time_s]

    def _is_needless(self, packet: Packet) -> bool:
        if packet.pts is None or packet.dts is None:
            return False
        needed_s = min(self._next_s, self._next_thumb_s) - self._groups.reorder * self._frame_s
        was_leaving_out = self._groups.is_leaving_out
        if not self._groups.is_needless(packet, needed_s + self._origin_s):
            if was_leaving_out:
                self._codec.flush_buffers()  # as after a seek: the pictures before are not there
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
            self._serve(time_s, frame)
        if time_s >= self._next_thumb_s:
            self._look_for_cut(time_s, frame)
        self._last = (time_s, frame)
        self.position_s = max(self.position_s, time_s)

    def _serve(self, time_s: float, frame: av.VideoFrame) -> None:
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
