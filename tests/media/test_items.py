"""Files decoded into clips: times, colours and tones at known seconds."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from media_clips import BLUE, GREEN, RED, colour, loudness, tone

from seehear.media import ItemDecoder, decode_items, probe
from seehear.types import Clip, MediaSpec

SPEC = MediaSpec(side_px=48)
MakeClip = Callable[..., Path]


def one(path: Path, spec: MediaSpec = SPEC) -> Clip:
    (clip,) = decode_items(path, spec)
    return clip


def assert_covers(clips: list[Clip], end_s: float) -> None:
    assert clips[0].start_s == 0.0
    assert clips[-1].end_s == pytest.approx(end_s, abs=0.1)
    assert all(before.end_s == after.start_s for before, after in pairwise(clips))
    for clip in clips:
        assert all(clip.start_s <= time_s < clip.end_s for time_s in clip.frame_times_s)
        assert np.all(np.diff(clip.frame_times_s) > 0)
        assert len(clip.frames) == len(clip.frame_times_s) <= SPEC.max_frames
        rate_hz = clip.sample_rate_hz
        samples = round(clip.end_s * rate_hz) - round(clip.start_s * rate_hz)
        assert len(clip.waveform) == (0 if clip.sound == "none" else samples)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "a.ts"])
def test_colours_and_tones_are_at_their_seconds(make_clip: MakeClip, name: str) -> None:
    shots = [(0.0, RED), (3.0, GREEN), (6.0, BLUE)]
    clip = one(make_clip(name, seconds=9, shots=shots, sounds=[tone(9, (2, 3), (7, 8))]))
    assert_covers([clip], 9.0)
    assert clip.frames.shape == (9, 48, 64, 3)
    assert np.abs(clip.frame_times_s - (np.arange(9) + 0.5)).max() <= 0.13
    seen = [[RED, GREEN, BLUE][int(time_s // 3)] for time_s in clip.frame_times_s]
    assert [colour(frame) for frame in clip.frames] == seen
    assert clip.sound == "sound"
    for second in range(9):
        level = loudness(clip, second + 0.1, second + 0.9)
        assert level == pytest.approx(0.354 if second in (2, 7) else 0.0, abs=0.02)
    onset_s = np.argmax(np.abs(clip.waveform) > 0.1) / clip.sample_rate_hz
    assert onset_s == pytest.approx(2.0, abs=0.03)


def test_frames_and_sound_share_one_clock(make_clip: MakeClip) -> None:
    clip = one(make_clip("late.mp4", seconds=6, sounds=[tone(2, (0, 2))], sound_at_s=3.0))
    assert_covers([clip], 6.0)
    assert loudness(clip, 0.0, 2.9) < 0.01
    assert loudness(clip, 3.1, 4.9) == pytest.approx(0.354, abs=0.02)
    assert loudness(clip, 5.1, 6.0) < 0.01  # ends early: zeros after


def test_sound_longer_than_video(make_clip: MakeClip) -> None:
    clip = one(make_clip("long.mkv", seconds=2, sounds=[tone(6, (4, 5))]))
    assert_covers([clip], 6.0)
    assert clip.frame_times_s.max() < 2.0
    assert loudness(clip, 4.1, 4.9) > 0.3


def test_sound_is_none_silent_or_sound(make_clip: MakeClip) -> None:
    assert one(make_clip("no.mp4")).sound == "none"
    assert one(make_clip("no.mp4")).waveform.shape == (0,)
    assert one(make_clip("si.mp4", sounds=[tone(4)])).sound == "silent"
    assert one(make_clip("so.mp4", sounds=[tone(4, (1, 2))])).sound == "sound"


@pytest.mark.parametrize(
    ("name", "codec", "layout", "rate_hz"),
    [
        ("m.wav", "pcm_s16le", "mono", 8000),
        ("s.wav", "pcm_s16le", "stereo", 44100),
        ("x.flac", "flac", "stereo", 96000),
        ("x.mp3", "libmp3lame", "stereo", 44100),
        ("x.ogg", "libopus", "stereo", 48000),
        ("x.m4a", "aac", "5.1", 48000),
        ("x.mka", "libopus", "mono", 48000),
        ("same.wav", "pcm_s16le", "mono", 16000),
    ],
)
def test_audio_files(make_clip: MakeClip, name: str, codec: str, layout: str, rate_hz: int) -> None:
    sound = tone(5, (2, 4), rate_hz=rate_hz)
    settings = {"sounds": [sound], "sound_codec": codec, "layout": layout, "rate_hz": rate_hz}
    clip = one(make_clip(name, fps=0, **settings))
    assert clip.frames.shape == (0, 0, 0, 3)
    assert clip.end_s == pytest.approx(5.0, abs=0.1)
    assert loudness(clip, 2.2, 3.8) == pytest.approx(0.354, abs=0.02)
    assert loudness(clip, 0.2, 1.8) < 0.01
    assert np.argmax(np.abs(clip.waveform) > 0.1) / 16000 == pytest.approx(2.0, abs=0.05)


def test_long_audio_file_is_split_evenly(make_clip: MakeClip) -> None:
    sound = tone(100, (60, 61), rate_hz=16000)
    path = make_clip(
        "long.wav", fps=0, sounds=[sound], sound_codec="pcm_s16le", layout="mono", rate_hz=16000
    )
    clips = list(decode_items(path, SPEC))
    assert [clip.start_s for clip in clips] == [0.0, 25.0, 50.0, 75.0]
    assert_covers(clips, 100.0)
    assert [clip.sound for clip in clips] == ["silent", "silent", "sound", "silent"]
    np.testing.assert_allclose(np.concatenate([c.waveform for c in clips]), sound, atol=2e-3)


def test_long_video_is_cut_at_shots(make_clip: MakeClip) -> None:
    shots = [(0.0, RED), (21.0, GREEN), (44.0, BLUE), (46.0, RED)]
    path = make_clip("l.mp4", seconds=62, shots=shots, sounds=[tone(62, (30, 31), (50, 51))])
    clips = list(decode_items(path, SPEC))
    assert_covers(clips, 62.0)
    assert [clip.start_s for clip in clips] == pytest.approx([0, 21, 44], abs=0.5)
    for clip in clips:
        length_s = clip.end_s - clip.start_s
        assert len(clip.frames) == round(length_s)
        assert np.diff(clip.frame_times_s).max() < 1.6
        seen = [[rgb for at, rgb in shots if at <= t][-1] for t in clip.frame_times_s]
        assert [colour(frame) for frame in clip.frames] == seen
    assert loudness(clips[1], 30.1, 30.9) > 0.3
    assert loudness(clips[2], 50.1, 50.9) > 0.3
    assert clips[0].sound == "silent"


def test_frames_of_varying_rate_keep_their_times(make_clip: MakeClip) -> None:
    times_s = [0.0, 0.1, 0.2, 0.35, 2.0, 2.04, 5.0, 5.9]
    shots = [(0.0, RED), (2.0, GREEN), (5.0, BLUE)]
    clip = one(make_clip("vfr.mkv", times_s=times_s, shots=shots))
    assert set(clip.frame_times_s.round(3)) <= set(times_s)
    assert [colour(f) for f in clip.frames] == [
        [RED, GREEN, BLUE][int(t >= 2) + int(t >= 5)] for t in clip.frame_times_s
    ]
    assert {RED, GREEN, BLUE} == {colour(f) for f in clip.frames}


def test_slide_is_in_every_clip_that_shows_it(make_clip: MakeClip) -> None:
    shots = [(0.0, RED), (100.0, BLUE)]
    path = make_clip("slides.mkv", times_s=[0.0, 100.0, 101.0], shots=shots, sounds=[tone(102)])
    clips = list(decode_items(path, SPEC))
    assert_covers(clips, 102.0)
    for clip in clips:
        assert colour(clip.frames[0]) == RED


def test_frames_are_never_repeated(make_clip: MakeClip) -> None:
    assert len(one(make_clip("two.mp4", times_s=[0.0, 2.0])).frames) == 2
    assert one(make_clip("one.mp4", times_s=[0.0])).frame_times_s.tolist() == [0.0]


@pytest.mark.parametrize(
    ("size", "settings", "shape"),
    [
        ((321, 241), {"pix_fmt": "yuv444p"}, (48, 64)),
        ((64, 48), {"pix_fmt": "yuv420p10le"}, (48, 64)),
        ((48, 96), {}, (96, 48)),
        ((64, 48), {"pixel_aspect": Fraction(3, 2)}, (48, 96)),
        ((2000, 20), {}, (48, 384)),  # a strip is squeezed
    ],
)
def test_shapes(make_clip: MakeClip, size: object, settings: dict, shape: tuple[int, int]) -> None:
    clip = one(make_clip("x.mp4", size=size, **settings))
    assert clip.frames.shape[1:3] == shape
    assert {colour(frame) for frame in clip.frames} == {RED}


@pytest.mark.parametrize(("codec", "name"), [("mpeg4", "a.avi"), ("mjpeg", "a.mov")])
def test_other_codecs(make_clip: MakeClip, codec: str, name: str) -> None:
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    shots = [(0.0, RED), (2.0, GREEN)]
    clip = one(make_clip(name, codec=codec, pix_fmt=pix_fmt, shots=shots))
    np.testing.assert_allclose(clip.frame_times_s, [0.5, 1.5, 2.5, 3.5], atol=0.1)
    assert [colour(frame) for frame in clip.frames] == [RED, RED, GREEN, GREEN]


def test_default_audio_stream_is_used(make_clip: MakeClip) -> None:
    settings = {"sounds": [tone(4, (0, 1)), tone(4, (2, 3))], "default_sound": 1}
    path = make_clip("two.mkv", **settings)
    assert loudness(one(path), 2.1, 2.9) > 0.3
    assert loudness(one(path), 0.1, 0.9) < 0.01


def test_centre_channel_stays_audible(make_clip: MakeClip) -> None:
    planes = np.zeros((6, 48000 * 3), np.float32)
    planes[2] = tone(3, (1, 2))  # FL FR FC LFE BL BR
    clip = one(make_clip("5.mka", fps=0, sounds=[planes], layout="5.1", sound_codec="ac3"))
    assert loudness(clip, 1.1, 1.9) == pytest.approx(0.354 * 0.293, abs=0.02)


def test_decoding_twice_gives_equal_clips(make_clip: MakeClip) -> None:
    path = make_clip("a.mp4", seconds=40, sounds=[tone(40, (0, 40))])
    first, second = list(decode_items(path, SPEC)), list(decode_items(path, SPEC))
    for one_clip, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one_clip.frames, other.frames)
        np.testing.assert_array_equal(one_clip.waveform, other.waveform)


def test_special_characters_in_file_names(make_clip: MakeClip) -> None:
    path = make_clip("plain.mp4")
    for name in ['it\'s "a"\nnew\tday 日本.mp4', "concat:a|b.mp4", "%03d.mp4", "a?b#c&d.mp4"]:
        strange = path.rename(path.with_name(name))
        assert len(one(strange).frames) == 4
        assert probe(strange).path == str(strange)
        path = strange


def test_memory_is_bounded_and_files_are_closed(make_clip: MakeClip) -> None:
    seconds = 1200
    shots = [(float(at), (RED, GREEN, BLUE)[at // 97 % 3]) for at in range(0, seconds, 97)]
    sound = tone(seconds, (0, seconds), rate_hz=8000)
    path = make_clip(
        "hour.mkv", seconds=seconds, fps=5, shots=shots, rate_hz=8000, layout="mono",
        sounds=[sound], sound_codec="pcm_s16le", options={"preset": "ultrafast"},
    )  # fmt: skip
    del sound
    decoder, end_s, largest = ItemDecoder(path, SPEC), 0.0, 0
    gc.collect()
    tracemalloc.start()
    for clip in decoder:
        assert clip.start_s == end_s
        end_s = clip.end_s
        largest = max(largest, tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert end_s == pytest.approx(seconds, abs=0.3)
    assert decoder.notes == []
    assert largest < 12e6  # all of the sound alone is 77 MB
    handles = Path("/proc/self/fd")
    before = len(list(handles.iterdir())) if handles.exists() else 0
    half_read = decode_items(path, SPEC)
    next(half_read)
    half_read.close()  # pyright: ignore[reportAttributeAccessIssue]  it is a generator
    assert (len(list(handles.iterdir())) if handles.exists() else 0) == before
