"""Thumbnails of hits."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext

from seehear.media.pictures import RGB

CODECS = (  # the first that this build of libav supports
    ("libwebp", "yuv420p", {"quality": "80", "compression_level": "2"}),
    ("mjpeg", "yuvj420p", {"qmin": "5", "qmax": "5"}),
)


def thumbnail(frame: RGB, height_px: int = 180) -> bytes:
    """Encode a frame as WebP (or JPEG), `height_px` high, aspect ratio kept, about 10 KB."""
    name, pixels, options = next(row for row in CODECS if row[0] in av.codecs_available)
    height, width = frame.shape[:2]
    encoder = av.CodecContext.create(name, "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height = max(1, round(width * height_px / height)), height_px
    encoder.pix_fmt, encoder.time_base, encoder.options = pixels, Fraction(1), options
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24").reformat(
        encoder.width, encoder.height, pixels, interpolation="AREA"
    )
    picture.pts = 0
    return b"".join(bytes(p) for p in [*encoder.encode(picture), *encoder.encode(None)])
