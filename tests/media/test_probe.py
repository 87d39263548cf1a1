"""Metadata from the headers of media files."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media_clips import GREEN, RED, colour, tone

from seehear.media import decode_items, probe
from seehear.types import MediaSpec

MakeClip = Callable[..., Path]


def test_video_with_sound(make_clip: MakeClip) -> None:
    info = probe(make_clip("a.mp4", seconds=3, fps=20, sounds=[tone(3)]))
    assert info.duration_s == pytest.approx(3.0, abs=0.06)
    assert info.fps == pytest.approx(20.0)
    assert (info.width, info.height, info.rotation_deg) == (64, 48, 0)
    assert (info.has_video, info.has_audio, info.audio_rate_hz) == (True, True, 48000)
    assert info.codec == "h264+aac"
    assert [(s.kind, s.codec, s.is_default) for s in info.streams] == [
        ("video", "h264", True),
        ("audio", "aac", True),
    ]


def test_video_only_and_audio_only(make_clip: MakeClip) -> None:
    seen = probe(make_clip("a.mkv"))
    assert (seen.has_audio, seen.audio_rate_hz, seen.codec) == (False, 0, "h264")
    heard = probe(make_clip("a.wav", fps=0, sounds=[tone(2)], sound_codec="pcm_s16le"))
    assert (heard.has_video, heard.fps, heard.width, heard.codec) == (False, 0.0, 0, "pcm_s16le")
    assert heard.duration_s == pytest.approx(2.0)


def test_all_streams_are_listed_and_the_default_is_marked(make_clip: MakeClip) -> None:
    path = make_clip("a.mkv", sounds=[tone(2), tone(2)], default_sound=1)
    assert [s.is_default for s in probe(path).streams] == [True, False, True]


def test_size_is_as_shown(make_clip: MakeClip) -> None:
    info = probe(make_clip("a.mp4", pixel_aspect=Fraction(3, 2)))
    assert (info.width, info.height) == (96, 48)


def turn_clockwise(path: Path) -> None:
    """Write the rotation matrix of phones into an upright video: (x, y) -> (-y, x)."""
    data = path.read_bytes()
    one = 1 << 16
    plain = np.array([one, 0, 0, 0, one, 0, 0, 0, 1 << 30], ">i4").tobytes()
    turned = np.array([0, one, 0, -one, 0, 0, 48 * one, 0, 1 << 30], ">i4").tobytes()
    at = data.index(plain, data.index(b"tkhd"))
    path.write_bytes(data[:at] + turned + data[at + len(plain) :])


def test_rotation(make_clip: MakeClip, tmp_path: Path) -> None:
    path = tmp_path / "phone.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        pixels = np.full((64, 96, 3), GREEN, np.uint8)
        pixels[:32] = RED  # the upper half: on the right once turned
        for _ in range(50):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode(None))
    turn_clockwise(path)
    info = probe(path)
    assert (info.rotation_deg, info.width, info.height) == (90, 64, 96)
    (clip,) = decode_items(path, MediaSpec(side_px=48))
    frame = clip.frames[0]
    assert frame.shape == (72, 48, 3)
    assert (colour(frame[:, :20]), colour(frame[:, -20:])) == (GREEN, RED)


@pytest.mark.parametrize("name", ["song.mp3", "song.m4a", "song.flac"])
def test_cover_art_is_not_a_video(tmp_path: Path, name: str) -> None:
    codec = {"mp3": "libmp3lame", "m4a": "aac", "flac": "flac"}[name.split(".")[1]]
    path = tmp_path / name
    with av.open(str(path), "w", format="mp4" if codec == "aac" else None) as container:
        sound = container.add_stream(codec, rate=44100, layout="stereo")
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")
        block = np.tile(tone(3, (1, 2), rate_hz=44100), (2, 1))
        frame = av.AudioFrame.from_ndarray(block, "fltp", "stereo")
        frame.sample_rate, frame.time_base, frame.pts = 44100, Fraction(1, 44100), 0
        packets = [*sound.encode(frame), *sound.encode(None)]
        for packet in [*cover.encode(picture), *cover.encode(None), *packets]:
            container.mux(packet)
    info = probe(path)
    assert (info.has_video, info.has_audio, info.width) == (False, True, 0)
    assert len(info.streams) == 2
    (clip,) = decode_items(path, MediaSpec())
    assert clip.frames.shape == (0, 0, 0, 3)
    assert clip.sound == "sound"
