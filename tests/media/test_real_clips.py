"""Scanning, probing and decoding the shared clips of real recordings."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from seehear.media import ItemDecoder, decode_items, probe, scan, thumbnail
from seehear.types import MediaSpec

SPEC = MediaSpec()


@pytest.fixture
def media(shared_data: Path) -> Path:
    return shared_data / "media"


def test_every_clip_is_found_and_probed(media: Path) -> None:
    captions = [json.loads(line) for line in (media / "captions.jsonl").read_text().splitlines()]
    found = scan([media])
    assert {str(path.relative_to(media.absolute())) for path in found.files} == {
        row["file"] for row in captions
    }
    assert found.problems == ()
    for row in captions:
        info = probe(media / row["file"])
        assert info.has_video
        assert info.duration_s > 2
        assert info.has_audio or row["audio_caption"] is None


def test_sound_is_none_silent_or_sound(media: Path) -> None:
    kinds = {}
    for name in ("noaudio", "silent", "music", "wrong"):
        (clip,) = decode_items(media / "contrast" / f"dog__{name}.mp4", SPEC)
        kinds[name] = clip.sound
        assert clip.frames.shape[1:] == (260, 260, 3)
    assert kinds == {"noaudio": "none", "silent": "silent", "music": "sound", "wrong": "sound"}


def test_film_is_cut_at_shots(media: Path) -> None:
    decoder = ItemDecoder(media / "real" / "tears_of_steel_battle.webm", MediaSpec(side_px=64))
    clips = list(decoder)
    assert decoder.notes == []
    assert clips[-1].end_s == pytest.approx(70.54, abs=0.01)
    assert len(clips) >= 4
    for before, after in pairwise(clips):
        assert before.end_s == after.start_s
        assert 8 <= after.end_s - after.start_s <= 32
    first_cut = np.abs(clips[1].frames[0].astype(int) - clips[0].frames[-1]).mean()
    assert first_cut > 20  # the frames before and after the cut differ


def test_thumbnail_takes_3_to_20_kilobytes(media: Path) -> None:
    for name in ("bee_thistle.mp4", "big_buck_bunny.mp4", "flower_opening.mp4"):
        clip = next(decode_items(media / "real" / name, SPEC))
        assert 3_000 < len(thumbnail(clip.frames[1])) < 20_000
