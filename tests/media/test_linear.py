"""Skipping frames while decoding never changes the frames that are kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from seehear.media import decode_items, read_clip
from seehear.media.container import origin_s
from seehear.media.pictures import FrameScaler, pixel_aspect
from seehear.types import Clip, MediaSpec

SPEC = MediaSpec(side_px=48)
MakeClip = Callable[..., Path]
CLIPS = ["bee_thistle.mp4", "beetle_bw.mp4", "friday_1940.mp4", "tractor.webm", "asl_walk.mkv"]


def assert_equals_full_decoding(path: Path, clip: Clip) -> None:
    """Check every frame of the clip against the frame at its time when all are decoded."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        scaler, start_s = FrameScaler(SPEC.side_px, pixel_aspect(stream)), origin_s(container)
        times_s = clip.frame_times_s.round(5).tolist()
        wanted = dict(zip(times_s, clip.frames, strict=True))
        for frame in container.decode(stream):
            expected = wanted.pop(round(frame.time - start_s, 5), None)
            if expected is not None:
                np.testing.assert_array_equal(scaler.scale(frame), expected)
    assert not wanted  # every time belongs to a frame


@pytest.mark.parametrize(
    "settings",
    [
        {"options": {"g": "25", "bf": "0"}},
        {"options": {"g": "25", "bf": "3"}},
        {"options": {"g": "12", "bf": "2", "x264-params": "open-gop=1:scenecut=0"}},
        {"options": {"g": "250", "bf": "3", "b-pyramid": "normal"}},
        {"fps": 5.0},
        {"fps": 60.0, "options": {"g": "60"}},
        {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
        {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=25"}},
    ],
)
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_kept_frames_are_bit_identical(make_clip: MakeClip, name: str, settings: dict) -> None:
    shots = [(k / 5, (20 + 5 * k, 250 - 5 * k, 40 * k % 250)) for k in range(45)]
    path = make_clip(name, seconds=9, shots=shots, **settings)
    (clip,) = decode_items(path, SPEC)
    assert len(clip.frames) == 9
    assert np.abs(clip.frame_times_s - np.arange(0.5, 9)).max() <= 0.17
    assert_equals_full_decoding(path, clip)
    part = read_clip(path, 3.0, 8.0, SPEC)
    assert len(part.frames) == 5
    assert_equals_full_decoding(path, part)


@pytest.mark.parametrize("name", CLIPS)
def test_real_clips_are_bit_identical(shared_data: Path, name: str) -> None:
    path = shared_data / "media" / "real" / name
    (clip,) = decode_items(path, SPEC)
    assert_equals_full_decoding(path, clip)
