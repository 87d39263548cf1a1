"""Parts of files: stretches, still pictures, sounds, query files, thumbnails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from media_clips import BLUE, GREEN, RED, colour, loudness, tone

from seehear.errors import MediaError
from seehear.media import is_picture, read_any, read_clip, read_picture, read_sound, thumbnail
from seehear.types import MediaSpec

SPEC = MediaSpec(side_px=48)
MakeClip = Callable[..., Path]
SHOTS = [(0.0, RED), (20.0, GREEN), (40.0, BLUE)]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("a.mp4", {}),
        ("a.mkv", {}),
        ("a.ts", {}),
        ("a.avi", {"codec": "mpeg4", "sound_codec": "libmp3lame"}),
    ],
)
def test_stretch_in_the_middle(make_clip: MakeClip, name: str, settings: dict) -> None:
    path = make_clip(name, seconds=60, shots=SHOTS, sounds=[tone(60, (27, 28))], **settings)
    clip = read_clip(path, 18.0, 28.0, SPEC)
    assert (clip.start_s, clip.end_s) == (18.0, 28.0)
    assert np.abs(clip.frame_times_s - np.arange(18.5, 28)).max() < 0.2
    assert [colour(f) for f in clip.frames] == [RED] * 2 + [GREEN] * 8
    assert len(clip.waveform) == 160000
    assert loudness(clip, 18.0, 26.9) < 0.01
    assert loudness(clip, 27.1, 27.9) == pytest.approx(0.354, abs=0.02)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp3", "libmp3lame"), ("a.ogg", "libopus"), ("a.wav", "pcm_s16le")]
)
def test_stretch_of_an_audio_file(make_clip: MakeClip, name: str, codec: str) -> None:
    path = make_clip(name, fps=0, sounds=[tone(60, (30, 31))], sound_codec=codec)
    clip = read_clip(path, 29.0, 33.0, SPEC)
    assert loudness(clip, 29.1, 29.9) < 0.01
    assert loudness(clip, 30.1, 30.9) == pytest.approx(0.354, abs=0.02)
    onset_s = clip.start_s + np.argmax(np.abs(clip.waveform) > 0.1) / 16000
    assert onset_s == pytest.approx(30.0, abs=0.05)
    assert loudness(clip, 31.1, 33.0) < 0.01


def test_stretch_past_the_end_is_shortened(make_clip: MakeClip) -> None:
    clip = read_clip(make_clip("a.mp4", seconds=5), 3.0, 99.0, SPEC)
    assert clip.end_s == pytest.approx(5.0)
    assert clip.frame_times_s.max() < 5.0


def test_stretch_within_one_slide(make_clip: MakeClip) -> None:
    path = make_clip("s.mkv", times_s=[0.0, 50.0, 51.0], shots=[(0.0, RED), (50.0, BLUE)])
    clip = read_clip(path, 10.0, 20.0, SPEC)
    assert [colour(frame) for frame in clip.frames] == [RED]
    assert clip.frame_times_s.tolist() == [10.0]


def write_picture(path: Path, codec: str, pix_fmt: str) -> Path:
    pixels = np.full((60, 90, 3), GREEN, np.uint8)
    encoder = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 90, 60, pix_fmt, 1
    frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format=pix_fmt)
    path.write_bytes(b"".join(map(bytes, [*encoder.encode(frame), *encoder.encode(None)])))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.jpg", "mjpeg", "yuvj420p"),
        ("a.png", "png", "rgb24"),
        ("alpha.png", "png", "rgba"),
        ("a.webp", "libwebp", "yuv420p"),
        ("no extension", "png", "gray"),
    ],
)
def test_still_pictures(tmp_path: Path, name: str, codec: str, pix_fmt: str) -> None:
    path = write_picture(tmp_path / name, codec, pix_fmt)
    assert is_picture(path)
    frame = read_picture(path, SPEC)
    assert frame.shape == (48, 72, 3)
    if pix_fmt != "gray":
        assert colour(frame) == GREEN
    clip = read_any(path, SPEC)
    assert (clip.start_s, clip.end_s, clip.sound, len(clip.waveform)) == (0.0, 0.0, "none", 0)
    np.testing.assert_array_equal(clip.frames, frame[None])


def test_video_is_not_a_picture(make_clip: MakeClip) -> None:
    path = make_clip("a.mp4")
    assert not is_picture(path)
    with pytest.raises(MediaError, match="not a still picture"):
        read_picture(path, SPEC)


def test_all_sound_of_a_file(make_clip: MakeClip) -> None:
    path = make_clip("a.mp4", seconds=50, sounds=[tone(50, (10, 11), (45, 46))])
    waveform = read_sound(path, SPEC)
    assert waveform.dtype == np.float32
    assert len(waveform) == pytest.approx(50 * 16000, abs=800)
    loud = np.sqrt(np.square(waveform[: 49 * 16000]).reshape(49, -1).mean(axis=1))
    assert np.flatnonzero(loud > 0.2).tolist() == [10, 45]


def test_query_file_gives_its_first_32_seconds(make_clip: MakeClip) -> None:
    clip = read_any(make_clip("a.mp4", seconds=60, shots=SHOTS, sounds=[tone(60, (1, 2))]), SPEC)
    assert (clip.start_s, clip.end_s, len(clip.frames)) == (0.0, 32.0, 32)
    heard = read_any(
        make_clip("a.wav", fps=0, sounds=[tone(3, (1, 2))], sound_codec="pcm_s16le"), SPEC
    )
    assert heard.end_s == pytest.approx(3.0)
    assert heard.frames.shape == (0, 0, 0, 3)


def test_thumbnails_open_as_pictures(tmp_path: Path) -> None:
    frame = np.full((260, 463, 3), BLUE, np.uint8)
    path = tmp_path / "t"
    path.write_bytes(thumbnail(frame))
    assert read_picture(path, MediaSpec(side_px=180)).shape == (180, 321, 3)
    assert colour(read_picture(path, SPEC)) == BLUE
    path.write_bytes(thumbnail(np.ascontiguousarray(frame[:, :30]), height_px=90))
    assert read_picture(path, MediaSpec(side_px=10)).shape == (80, 10, 3)
