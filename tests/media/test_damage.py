"""Unreadable files give one clear sentence, and damaged ones what can still be decoded."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from media_clips import RED, colour, tone
from test_scan import without_root

from seehear.errors import MediaError
from seehear.media import ItemDecoder, decode_items, probe, read_clip, read_sound
from seehear.types import MediaSpec

SPEC = MediaSpec(side_px=48)
MakeClip = Callable[..., Path]


def write_png(path: Path) -> Path:
    png = path.with_suffix(".png")
    av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "rgb24").save(png)
    return png.rename(path)


def unreadable_files(folder: Path) -> dict[str, Path]:
    text, empty, noise = folder / "text.mkv", folder / "empty.mp4", folder / "noise.avi"
    text.write_text("hello world\n" * 300)
    empty.touch()
    noise.write_bytes(np.random.default_rng(0).bytes(20000))
    playlist = folder / "list.mp4"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n")
    notes = folder / "notes.txt"
    notes.write_text("buy milk\n" * 100)
    pipe = folder / "pipe.mp4"
    os.mkfifo(pipe)
    return {
        "cannot be read as video or sound": text,
        "is empty (0 bytes)": empty,
        "'noise.avi'": noise,
        "'list.mp4'": playlist,
        "is text": notes,
        "is a device or pipe": pipe,
        "is a still picture": write_png(folder / "still.mp4"),
        "does not exist": folder / "absent.mp4",
        "is a folder": folder,
    }


@pytest.mark.parametrize("number", range(9))
@pytest.mark.parametrize("read", [probe, lambda path: list(decode_items(path, SPEC))])
def test_unreadable_file_gives_one_sentence(
    tmp_path: Path, read: Callable[[Path], object], number: int, capfd: pytest.CaptureFixture[str]
) -> None:
    message, path = list(unreadable_files(tmp_path).items())[number]
    with pytest.raises(MediaError) as caught:
        read(path)
    assert message in str(caught.value)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_file_without_permission(make_clip: MakeClip) -> None:
    path = make_clip("a.mp4")
    path.chmod(0)
    with without_root(), pytest.raises(MediaError, match="permission denied"):
        probe(path)


@pytest.mark.parametrize("name", ["a.mkv", "a.ts", "a.mp4", "a.avi"])
def test_truncated_file_is_read_to_its_end(
    make_clip: MakeClip, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    options = {"movflags": "faststart"} if name == "a.mp4" else {}
    settings = {"codec": "mpeg4"} if name == "a.avi" else {}
    path = make_clip(
        name, seconds=20, sounds=[tone(20, (0, 20))], file_options=options,
        sound_codec="aac" if name != "a.avi" else "libmp3lame", **settings,
    )  # fmt: skip
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    decoder = ItemDecoder(path, SPEC)
    (clip,) = decoder
    assert 6 < clip.end_s < 16
    assert 6 <= len(clip.frames) <= 16
    assert {colour(frame) for frame in clip.frames} == {RED}
    assert clip.sound == "sound"
    if name not in ("a.ts", "a.avi"):  # for these, libav reports the duration that is left
        assert decoder.notes == [
            f"only {clip.end_s:.1f} s of {probe(path).duration_s:.1f} s could be read"
        ]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["a.mkv", "a.ts", "a.mp4"])
def test_damaged_middle_is_skipped(make_clip: MakeClip, name: str) -> None:
    path = make_clip(name, seconds=20, sounds=[tone(20, (0, 20))], options={"g": "25"})
    data = bytearray(path.read_bytes())
    start = len(data) * 4 // 10
    data[start : start + len(data) // 10] = bytes(len(data) // 10)
    path.write_bytes(data)
    decoder = ItemDecoder(path, SPEC)
    clips = list(decoder)
    assert clips[-1].end_s == pytest.approx(20.0, abs=0.5)
    assert sum(len(clip.frames) for clip in clips) >= 14
    assert len(decoder.notes) == 1


def test_file_of_headers_only(make_clip: MakeClip) -> None:
    path = make_clip("a.mkv", seconds=1)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"\x1f\x43\xb6\x75")])  # up to the first cluster
    with pytest.raises(MediaError, match=r"a\.mkv"):
        list(decode_items(path, SPEC))


def test_zero_frames(tmp_path: Path) -> None:
    path = tmp_path / "zero.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    with pytest.raises(MediaError, match=r"zero\.mkv"):
        list(decode_items(path, SPEC))


def test_undecodable_video_keeps_its_sound(make_clip: MakeClip) -> None:
    path = make_clip("a.mov", sounds=[tone(4, (1, 2))], codec="png", pix_fmt="rgb24")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"\x89PNG", b"nope"))
    decoder = ItemDecoder(path, SPEC)
    (clip,) = decoder
    assert clip.frames.shape == (0, 0, 0, 3)
    assert clip.sound == "sound"
    assert decoder.notes == ["its pictures could not be decoded"]


def test_impossible_parts_are_refused(tmp_path: Path, make_clip: MakeClip) -> None:
    mute = make_clip("mute.mp4")
    with pytest.raises(MediaError, match="has no sound"):
        read_sound(mute, SPEC)
    with pytest.raises(MediaError, match=r"ends before 99\.0 s"):
        read_clip(mute, 99.0, 100.0, SPEC)
    with pytest.raises(ValueError, match="start_s < end_s"):
        read_clip(mute, 2.0, 1.0, SPEC)


def test_implausible_frame_rate_is_damage(make_clip: MakeClip) -> None:
    path = make_clip("a.avi", codec="mpeg4", sounds=[tone(4, (1, 2))], sound_codec="libmp3lame")
    data = bytearray(path.read_bytes())
    scale_at = data.index(b"vids") + 20  # of the stream header: seconds a picture = scale / rate
    data[scale_at : scale_at + 4] = (2**31 - 1).to_bytes(4, "little")
    path.write_bytes(data)
    ends_s = [clip.end_s for clip in decode_items(path, SPEC)]
    assert ends_s[-1] <= 3600 + len(data) / 10


def test_implausible_duration_is_ignored(make_clip: MakeClip) -> None:
    settings = {"sounds": [tone(40, (1, 2))], "sound_codec": "pcm_s16le"}
    path = make_clip("a.mka", fps=0, **settings)
    data = bytearray(path.read_bytes())
    at = data.index(b"\x44\x89\x88") + 3  # Matroska: Duration, a float of 8 bytes, milliseconds
    data[at : at + 8] = struct.pack(">d", 1e15)
    path.write_bytes(data)
    decoder = ItemDecoder(path, SPEC)
    clips = list(decoder)
    assert clips[-1].end_s == pytest.approx(40.0, abs=0.1)
    assert decoder.notes[0].startswith("only 40.0 s of ")
