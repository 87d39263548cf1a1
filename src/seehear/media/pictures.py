"""Pictures of a video: the frames nearest to wanted times, small, upright, as RGB."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
from av.packet import Packet
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from jaxtyping import UInt8

from seehear.media.shots import ShotFinder

RGB = UInt8[np.ndarray, "height width 3"]
LONGEST_ASPECT = 8  # a stripe of 10000 x 10 must not become 260000 x 260
THUMB_STEP_S = 0.25
FEW_FPS = 10.0  # below, the loss of a frame in three is felt
WIDE_GAP_S = 0.4  # between two frames of a faster video: too few of them are reference frames


class FrameScaler:
    """Decoded frames -> RGB of one size: shorter side `side_px`, square pixels, upright."""

    def __init__(self, side_px: int, pixel_aspect: Fraction | None = None) -> None:
        self._side_px = side_px
        self._pixel_aspect = float(pixel_aspect or 1) or 1.0
        self._size: tuple[int, int] | None = None  # width, height before turning
        self._reformatter = VideoReformatter()

    def scale(self, frame: av.VideoFrame) -> RGB:
        """The frame as it is shown; every later frame gets the size of the first."""
        if self._size is None:
            self._size = fitted_size(frame.width * self._pixel_aspect, frame.height, self._side_px)
        small = self._reformatter.reformat(
            frame, *self._size, format="rgb24", interpolation=Interpolation.BICUBIC, threads=1
        ).to_ndarray()
        return np.ascontiguousarray(np.rot90(small, quarter_turns(frame)))


def fitted_size(width: float, height: float, side_px: int) -> tuple[int, int]:
    """Width and height with the aspect kept and the shorter one `side_px` long."""
    ratio = min(max(width / height, 1 / LONGEST_ASPECT), LONGEST_ASPECT)
    if ratio >= 1:
        return round(side_px * ratio), side_px
    return side_px, round(side_px / ratio)


def quarter_turns(frame: av.VideoFrame) -> int:
    """How often to turn the frame by 90 degrees, counterclockwise."""
    return round(frame.rotation / 90) % 4


class PictureTrack:
    """Fed with the packets of one stream, keeps the frames nearest to rising wanted times.

    Frames that no other frame refers to are not decoded where there are enough others. Only kept
    frames are converted. `frames` holds (time_s, picture) and `cuts_s` the hard cuts seen.
    """

    def __init__(
        self,
        stream: VideoStream,
        scaler: FrameScaler,
        wanted_s: Iterator[float],
        *,
        origin_s: float,
        find_cuts: bool,
    ) -> None:
        self.frames: list[tuple[float, RGB]] = []
        self.cuts_s: list[float] = []
        self.position_s = 0.0
        self.end_s = 0.0
        self.errors = 0
        self._codec = stream.codec_context
        self._codec.thread_count = 1
        self._codec.skip_frame = "NONREF" if fps(stream) >= FEW_FPS else "DEFAULT"
        self._frame_s = 1 / (fps(stream) or 25.0)
        self._is_intra = stream.codec.intra_only
        self._origin_s = origin_s
        self._scaler = scaler
        self._wanted_s = wanted_s
        self._next_s = next(wanted_s, np.inf)
        self._last: tuple[float, av.VideoFrame] | None = None
        self._shots = ShotFinder() if find_cuts else None
        self._next_thumb_s = 0.0 if find_cuts else np.inf
        self._thumbs = VideoReformatter()

    def feed(self, packet: Packet | None) -> None:
        """Decode a packet, or with None what the decoder still holds."""
        if packet is not None and self._is_needless(packet):
            self._reach(packet)
            return
        try:
            frames = self._codec.decode(packet)
        except av.FFmpegError:
            self.errors += packet is not None
            return
        if packet is not None:
            self._reach(packet)
        for frame in frames:
            self._take(frame)
