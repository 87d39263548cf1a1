"""Exports, read back with OpenTimelineIO, its CMX3600 reader, csv and PyAV."""

import csv
import io
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import opentimelineio as otio
import pytest

from media.media_clips import BLUE, RED, tone, write_clip
from seehear.errors import MediaError, UsageError
from seehear.export import Moment, cut, to_csv, to_edl, to_json, to_otio
from seehear.export.moments import exact_rate, frames, timecode
from seehear.media import probe, read_clip
from seehear.types import MediaSpec

NTSC24, NTSC30 = Fraction(24000, 1001), Fraction(30000, 1001)


@pytest.mark.parametrize(
    ("frame", "rate", "expected"),
    [
        (0, Fraction(25), "00:00:00:00"),
        (90000, Fraction(25), "01:00:00:00"),
        (1439, NTSC24, "00:00:59:23"),
        (1799, NTSC30, "00:00:59;29"),
        (1800, NTSC30, "00:01:00;02"),
        (17981, NTSC30, "00:09:59;29"),
        (17982, NTSC30, "00:10:00;00"),
        (107892, NTSC30, "01:00:00;00"),
        (3600, Fraction(60000, 1001), "00:01:00;04"),
    ],
)
def test_timecodes(frame: int, rate: Fraction, expected: str) -> None:
    assert timecode(frame, rate) == expected


def test_drop_frame_agrees_with_opentimelineio_for_a_day() -> None:
    for frame in range(0, 2_589_408, 997):
        theirs = otio.opentime.to_timecode(otio.opentime.RationalTime(frame, 30000 / 1001))
        assert timecode(frame, NTSC30) == theirs


def test_measured_rates_become_exact_rates() -> None:
    assert exact_rate(23.976) == NTSC24
    assert exact_rate(29.97) == NTSC30
    assert exact_rate(25.0) == 25
    assert exact_rate(24.0) == 24
    assert exact_rate(0.0) == 25
    assert exact_rate(15.0) == 15
    assert (
        exact_rate(17.4321) == 24
    )  # average of a variable rate: the nearest rate that editors support
    assert exact_rate(29.7) == 30


def made(fps: float, start_s: float = 61.5, end_s: float = 70.25) -> Moment:
    return Moment(path="/films/a b.mp4", start_s=start_s, end_s=end_s, fps=fps, duration_s=600.0)


@pytest.mark.parametrize("fps", [23.976, 25.0, 29.97, 17.4321])
def test_otio_gives_the_same_seconds_to_the_frame(fps: float) -> None:
    timeline = otio.adapters.read_from_string(to_otio([made(fps), made(25.0)]), "otio_json")
    clip = next(iter(timeline.find_clips()))
    span = clip.source_range
    assert abs(span.start_time.to_seconds() - 61.5) <= 1 / fps
    assert abs(span.end_time_exclusive().to_seconds() - 70.25) <= 1 / fps
    assert clip.media_reference.target_url == "file:///films/a%20b.mp4"


def test_otio_has_a_video_and_an_audio_track() -> None:
    silent = replace(made(25.0), has_sound=False)
    read = otio.adapters.read_from_string(to_otio([made(25.0), silent, made(0.0)]), "otio_json")
    shown = {track.kind: [type(each).__name__ for each in track] for track in read.tracks}
    assert shown == {"Video": ["Clip", "Clip", "Gap"], "Audio": ["Clip", "Gap", "Clip"]}
    assert read.video_tracks()[0].duration() == read.audio_tracks()[0].duration()
    (pictures, sound) = read.tracks
    assert [pictures.range_of_child(each) for each in pictures] == [
        sound.range_of_child(each) for each in sound
    ]


@pytest.mark.parametrize("fps", [23.976, 25.0, 29.97])
def test_edl_gives_the_same_seconds_to_the_frame(fps: float) -> None:
    moments = [made(fps), made(fps, 100.0, 101.0)]
    rate = float(exact_rate(fps))
    read = otio.adapters.read_from_string(to_edl(moments), "cmx_3600", rate=rate)
    assert [track.kind for track in read.tracks] == ["Video", "Audio"]
    clips = list(read.find_clips())
    assert len(clips) == 4
    for clip, moment in zip(clips, moments * 2, strict=True):
        span = clip.source_range
        first, last = frames(moment, exact_rate(fps))
        assert span.start_time.to_frames() == first
        assert span.duration.to_frames() == last - first
        assert clip.name == "a b.mp4"


def test_a_source_with_a_variable_rate_keeps_its_seconds(tmp_path: Path) -> None:
    steps = np.random.default_rng(0).choice([1 / 30, 1 / 12, 0.2], 120)
    times_s = np.round(np.cumsum(steps), 3)
    film = write_clip(
        tmp_path / "a.mp4", times_s=times_s, shots=[(0, RED)], sounds=[tone(9, (1, 2))]
    )
    info = probe(film)
    moment = Moment(path=str(film), start_s=5.2, end_s=7.6, fps=info.fps, duration_s=9.0)
    rate = float(exact_rate(info.fps))
    read = otio.adapters.read_from_string(to_edl([moment]), "cmx_3600", rate=rate)
    for timeline in (read, otio.adapters.read_from_string(to_otio([moment]), "otio_json")):
        for clip in timeline.find_clips():
            span = clip.source_range
            assert span.start_time.to_seconds() == pytest.approx(5.2, abs=1 / rate)
            assert span.end_time_exclusive().to_seconds() == pytest.approx(7.6, abs=1 / rate)


def test_edl_of_mixed_rates_uses_the_rate_of_each_source() -> None:
    text = to_edl([made(25.0), replace(made(29.97), has_sound=False), made(0.0)])
    assert text.splitlines() == [
        "TITLE: seehear",
        "FCM: NON-DROP FRAME",
        "001  AX       B     C        00:01:01:12 00:01:10:07 00:00:00:00 00:00:08:20",
        "* FROM CLIP NAME: a b.mp4",
        "* SOURCE FILE: /films/a b.mp4",
        "FCM: DROP FRAME",
        "002  AX       V     C        00:01:01;15 00:01:10;08 00:00:08:20 00:00:17:14",
        "* FROM CLIP NAME: a b.mp4",
        "* SOURCE FILE: /films/a b.mp4",
        "FCM: NON-DROP FRAME",
        "003  AX       A     C        00:01:01:12 00:01:10:07 00:00:17:14 00:00:26:09",
        "* FROM CLIP NAME: a b.mp4",
        "* SOURCE FILE: /films/a b.mp4",
    ]


def test_tables_contain_no_formulas() -> None:
    risky = Moment(path="=HYPERLINK(1)", start_s=0, end_s=1, fps=25, duration_s=2, title='a,"b"')
    (row,) = csv.DictReader(io.StringIO(to_csv([risky])))
    assert row["path"] == "'=HYPERLINK(1)"
    assert row["title"] == 'a,"b"'
    assert json.loads(to_json([risky]))["moments"][0]["path"] == "=HYPERLINK(1)"


def test_invalid_stretches_are_refused() -> None:
    for start_s, end_s in ((5.0, 5.0), (-1.0, 2.0), (11.0, 12.0)):
        with pytest.raises(UsageError, match=r"is not a stretch of 'a' \(length: 10"):
            Moment(path="a", start_s=start_s, end_s=end_s, fps=25.0, duration_s=10.0)
    assert Moment(path="a", start_s=9.0, end_s=12.0, fps=25.0, duration_s=10.0).end_s == 10.0
    with pytest.raises(UsageError, match="at least one moment"):
        to_edl([])


def test_cut_clips_contain_the_moment(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    write_clip(film, shots=[(0, RED), (4, BLUE)], sounds=[tone(8, (5, 6))], seconds=8.0)
    moment = Moment(path=str(film), start_s=4.5, end_s=6.5, fps=25, duration_s=8.0)
    exact = cut(moment, tmp_path / "exact.mp4", exact=True)
    assert probe(exact).duration_s == pytest.approx(2.0, abs=0.1)
    clip = read_clip(exact, 0, 2.0, MediaSpec())
    assert clip.frames.mean((0, 1, 2)).argmax() == np.argmax(BLUE)
    rate = clip.sample_rate_hz
    inside, outside = clip.waveform[int(0.6 * rate) : rate], clip.waveform[: int(0.4 * rate)]
    assert np.abs(inside).max() > 10 * np.abs(outside).max()
    copied = cut(moment, tmp_path / "copied.mp4")
    assert 2.0 <= probe(copied).duration_s <= 7.0
    small = cut(moment, tmp_path / "small.mp4", height_px=48)
    assert probe(small).height == 48
    with pytest.raises(MediaError, match="could not be cut"):
        cut(Moment(path="nothing", start_s=0, end_s=1, fps=0, duration_s=1), tmp_path / "x.mp4")
    assert not list(tmp_path.glob(".*partial*"))
