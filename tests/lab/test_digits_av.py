"""digits-av: files written and read back, disjoint splits, towers of the right sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from seehear.models import build_model
from seehear.nn.temporal import PositionedTransformer
from seehear_lab.datasets import digits_media
from seehear_lab.datasets.digits_av import (
    WORDS,
    DigitClips,
    DigitsSpec,
    caption,
    digits_av,
    word_ids,
)
from seehear_lab.datasets.digits_pairs import (
    DigitGallery,
    DigitPairs,
    digits_encoder,
    shuffle,
)
from seehear_lab.datasets.digits_towers import DigitsEncoder, start_from_text
from seehear_lab.evaluate.protocol import encode, score_all
from seehear_lab.train.config import TrainConfig
from seehear_lab.train.loop import fit

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def fsdd(shared_data: Path) -> Path:
    return shared_data / "data" / "fsdd"


@pytest.fixture(scope="module")
def clips(fsdd: Path, tmp_path_factory: pytest.TempPathFactory) -> DigitClips:
    spec = DigitsSpec(level="whole", split="test", count=100)
    return digits_av(spec, fsdd=fsdd, cache=tmp_path_factory.mktemp("digits"))


def test_splits_share_no_picture_and_no_recording(fsdd: Path) -> None:
    seen: dict[bytes, str] = {}
    for split in ("train", "val", "test"):
        material = digits_media.load_material(fsdd, split)
        speakers = {"train": 40, "val": 5, "test": 5}[split]
        for pictures, recordings in zip(material.pictures, material.recordings, strict=True):
            assert len(recordings) == 6 * speakers
            for data in [x.tobytes() for x in pictures] + [x.tobytes() for x in recordings]:
                assert seen.setdefault(data, split) == split


def test_clips_match_their_captions(clips: DigitClips) -> None:
    assert clips.frames.shape == (100, 4, 32, 32) and clips.banks.shape == (100, 128, 64)
    assert (clips.has_sound[:3].tolist(), clips.has_sound[3]) == ([0, 0, 2], 1)
    assert not clips.banks[:2].any() and clips.banks[2:].any(axis=(1, 2)).all()
    assert (clips.said[:3] == -1).all() and (clips.said[3:] >= 0).all()
    captions = [clips.caption(number) for number in range(100)]
    assert len(set(captions)) == 100
    first, last = captions[0].split(), captions[-1].split()
    assert first == ["shown", *(WORDS[digit] for digit in clips.shown[0])]
    assert last[:3] == ["shown", *(WORDS[digit] for digit in clips.shown[-1])]
    assert last[3:] == ["said", *(WORDS[digit] for digit in clips.said[-1])]
    first_slot, second_slot = clips.frames[:, :2].astype(int), clips.frames[:, 2:].astype(int)
    within = np.abs(first_slot[:, 0] - first_slot[:, 1]).mean()
    assert np.abs(first_slot - second_slot).mean() > 5 * within


def test_a_caption_of_part_names_three_consecutive_digits(fsdd: Path, tmp_path: Path) -> None:
    spec = DigitsSpec(level="part", split="val", count=60)
    clips = digits_av(spec, fsdd=fsdd, cache=tmp_path)
    assert clips.frames.shape[:2] == (60, 12)
    for row in range(60):
        shown = clips.shown[row].tolist()
        named = clips.shown_named[row].tolist()
        assert named in [shown[at : at + 3] for at in range(4)]
    again = digits_av(spec, fsdd=Path("nowhere"), cache=tmp_path)  # from the cache
    assert (again.banks == clips.banks).all()


def test_pairs_depend_on_their_seed(clips: DigitClips) -> None:
    pairs = DigitPairs(clips)
    first, second = (pairs.batch([4, 5], [1, 2]) for _ in range(2))
    assert first.names == second.names
    assert torch.equal(first.media.banks, second.media.banks)
    assert pairs.batch([4, 5], [3, 4]).names != first.names
    seen, heard = map(int, first.names[0].split("+"))
    assert torch.equal(
        first.query[0],
        torch.from_numpy(word_ids([caption(clips.shown_named[seen], clips.said_named[heard])]))[0],
    )


def test_all_towers_train_through_the_loop(clips: DigitClips, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build_model("tefal", encoder=digits_encoder(clips, dim=32), dim=32, sound_dim=32)
    before = {name: value.clone() for name, value in model.named_parameters()}
    config = TrainConfig(batch_size=32, steps=3, lr=1e-3, weight_decay=0.0, warmup=0.0)
    fit(model, DigitPairs(clips), config, tmp_path)
    for name, value in model.named_parameters():
        is_still = name.endswith("key.bias")  # it cancels in the softmax
        assert is_still or not torch.equal(value, before[name]), name
    gallery = DigitGallery(clips)
    assert np.isfinite(score_all(model, encode(model, gallery))).all()
    assert gallery.has_sound.sum() == 98


def test_shuffled_pairs_are_clips_in_two_orders() -> None:
    rng, digits = np.random.default_rng(0), np.array([3, 1, 4, 1, 5, 9])
    for _ in range(5):
        sequence = torch.from_numpy(digits.repeat(2))
        named = shuffle(digits, sequence, rng=rng, named=3)
        shown = sequence[::2].tolist()
        assert sorted(shown) == sorted(digits) and torch.equal(sequence[::2], sequence[1::2])
        assert named.tolist() in [shown[at : at + 3] for at in range(4)]


def test_every_second_shuffled_pair_is_the_one_before_it(clips: DigitClips) -> None:
    batch = DigitPairs(clips, is_shuffled=True).batch(range(10, 20), range(10))
    assert batch.names[::2] == batch.names[1::2] and len(set(batch.names)) == 5
    assert (batch.query[::2] != batch.query[1::2]).any()
    first, second = batch.media.banks[::2].float(), batch.media.banks[1::2].float()
    assert not torch.allclose(first, second, atol=0.5)


def test_towers_load_the_weights_of_shorter_clips(clips: DigitClips) -> None:
    torch.manual_seed(0)
    short = digits_encoder(clips, dim=32)
    longer = DigitsEncoder(32, rows=384, mels=64, words=15)
    longer.load_shorter(short.state_dict())
    assert torch.equal(longer.sight.out.weight, short.sight.out.weight)
    low, high = short.sound.positions.unflatten(0, (2, 8))
    assert torch.equal(longer.sound.positions, torch.cat([low, low, low, high, high, high]))


def test_a_transformer_over_frames_starts_with_the_text_towers_weights(clips: DigitClips) -> None:
    text = digits_encoder(clips, dim=32).text
    over_time = PositionedTransformer(32, layers=2, heads=4, positions=12)
    start_from_text(over_time, text)
    ids = torch.from_numpy(word_ids(["shown one two said three four"]))
    mask, words = ids > 0, text.words(ids)
    last = over_time(words, mask)[:, int(mask.sum()) - 1]
    torch.testing.assert_close(text.out(text.norm(last)), text(ids))
