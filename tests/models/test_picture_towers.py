"""Models that change the picture tower, from pixels to scores, on a tiny CLIP."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from models.samples import DIM, SOUND_DIM, add_noise
from models.towers import PATCHES, pick_clips, sentences, small_clips, tiny_clip
from seehear.encoders.clip_frames import ClipEncoder
from seehear.models import RetrievalModel, build_model
from seehear.models.centerclip import MergingEncoder, merge_frames
from seehear.models.eclipse import (
    AudioVisualBlock,
    AudioVisualEncoder,
    ReversedBlock,
    SoundToSightBlock,
)
from seehear.models.ts2net import ShiftingEncoder
from seehear.models.xclip import WordsEncoder
from seehear.nn.medoids import spectral_medoids

TS2NET = {"dim": DIM, "patches": PATCHES, "layers": 1, "heads": 2, "positions": 16}
XCLIP = {"dim": DIM, "words": 6, "frames": 4, "layers": 1, "heads": 2, "positions": 4}
MEAN = {"dim": DIM}
MERGE: dict[str, Any] = {"clusters": 5, "merge": {1: 2, 2: 2}}
BUILDS: dict[str, Callable[[], tuple[str, ClipEncoder, dict[str, Any]]]] = {
    "clip4clip.meanp": lambda: ("clip4clip.meanp", ClipEncoder(tiny_clip()), MEAN),
    "eclipse": lambda: ("eclipse", AudioVisualEncoder(tiny_clip(), sound_dim=SOUND_DIM), MEAN),
    "eclipse, sound to sight": lambda: (
        "eclipse",
        AudioVisualEncoder(tiny_clip(), sound_dim=SOUND_DIM, block=SoundToSightBlock),
        MEAN,
    ),
    "eclipse, reversed": lambda: (
        "eclipse",
        AudioVisualEncoder(tiny_clip(), sound_dim=SOUND_DIM, block=ReversedBlock),
        MEAN,
    ),
    "centerclip": lambda: ("centerclip", MergingEncoder(tiny_clip(), **MERGE), MEAN),
    "centerclip, spectral": lambda: (
        "centerclip",
        MergingEncoder(tiny_clip(), choose=partial(spectral_medoids, sigma=20.0), **MERGE),
        MEAN,
    ),
    "ts2net": lambda: ("ts2net", ShiftingEncoder(tiny_clip()), TS2NET),
    "xclip": lambda: ("xclip", WordsEncoder(tiny_clip()), XCLIP),
}
IDLE = {  # parts of published checkpoints without influence on scores
    "eclipse": ("clip.logit_scale", "blocks.2.hear", "blocks.2.to_hear"),
    "eclipse, sound to sight": ("clip.logit_scale", ".hear", ".to_hear"),
    "eclipse, reversed": ("clip.logit_scale", "blocks.2.hear", "blocks.2.to_hear", ".see.out"),
}
every_tower = pytest.mark.parametrize("name", list(BUILDS))


def model_of(name: str, *, seed: int = 0) -> RetrievalModel:
    model, encoder, settings = BUILDS[name]()
    torch.manual_seed(seed)
    built = build_model(model, encoder=encoder, **settings).double()
    return add_noise(built).eval()


@every_tower
def test_padding_and_batching_do_not_change_scores(name: str) -> None:
    model, clips, ids = model_of(name), small_clips(), sentences()
    query = model.encode_query(ids)
    together = model.score(query, model.encode_items(clips))
    assert together.shape == (3, 3)
    for item, frames in enumerate((4, 2, 1)):
        alone = model.encode_items(pick_clips(clips, slice(item, item + 1), frames=frames))
        torch.testing.assert_close(model.score(query, alone)[:, 0], together[:, item])
    gone = replace(
        clips,
        pixels=clips.pixels.masked_fill(~clips.frame_mask[..., None, None, None], math.nan),
        audio=clips.audio.masked_fill(~clips.audio_mask[..., None], math.nan),
    )
    torch.testing.assert_close(model.score(query, model.encode_items(gone)), together)


@every_tower
def test_gradients_reach_every_weight_of_the_tower(name: str) -> None:
    model, clips, ids = model_of(name).train(), small_clips(), sentences()
    logits = model.logits(model.encode_query(ids), model.encode_items(clips))
    F.cross_entropy(logits, torch.arange(3)).backward()
    idle = [key for key, weight in model.named_parameters() if weight.grad is None]
    known = IDLE.get(name, ("clip.logit_scale",))
    assert [key for key in idle if not any(part in key for part in known)] == []
    assert all(
        weight.grad.isfinite().all() for weight in model.parameters() if weight.grad is not None
    )


@every_tower
def test_tower_is_saved_with_its_model(name: str, tmp_path: Path) -> None:
    model, other, clips = model_of(name), model_of(name, seed=7), small_clips()
    query = model.encode_query(sentences())
    expected = model.score(query, model.encode_items(clips))
    assert not torch.allclose(other.score(query, other.encode_items(clips)), expected)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    other.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert torch.equal(other.score(query, other.encode_items(clips)), expected)


def test_plain_encoder_equals_clip() -> None:
    clip, clips, ids = tiny_clip(), small_clips(), sentences()
    encoder = ClipEncoder(clip)
    tokens = encoder.encode_items(clips)
    for item in range(3):
        there = clips.frame_mask[item]
        expected = clip.get_image_features(pixel_values=clips.pixels[item][there]).pooler_output
        torch.testing.assert_close(tokens.frames[item][there], expected)
    expected = clip.get_text_features(input_ids=ids).pooler_output
    torch.testing.assert_close(encoder.encode_query(ids), expected)
    assert torch.equal(tokens.audio, clips.audio)


def test_shift_mixes_neighbouring_frames() -> None:
    clip, clips = tiny_clip(layers=2), small_clips()
    still = ClipEncoder(clip).encode_patches(clips)[0]
    moving = ShiftingEncoder(clip).encode_patches(clips)[0]
    assert not torch.allclose(moving[0], still[0])
    torch.testing.assert_close(moving[2, 0], still[2, 0])  # one frame has no neighbour
    alone = pick_clips(clips, slice(0, 1), frames=1)
    shifted, plain = (
        kind(clip).encode_patches(alone)[0] for kind in (ShiftingEncoder, ClipEncoder)
    )
    torch.testing.assert_close(shifted, plain)


def test_words_encoder_returns_sentence_and_words() -> None:
    clip, ids = tiny_clip(), sentences()
    query, paper = WordsEncoder(clip).encode_query(ids), WordsEncoder(clip, padding_words=True)
    torch.testing.assert_close(query[:, 0], ClipEncoder(clip).encode_query(ids))
    assert (query != 0).any(-1).sum(1).tolist() == [7, 4, 5]  # the sentence and its words
    every = paper.encode_query(ids)
    assert (every != 0).any(-1).all()
    torch.testing.assert_close(every[1, :4], query[1, :4])
    torch.testing.assert_close(every[:, 0], every[torch.arange(3), 1 + ids.argmax(1)])


@pytest.mark.parametrize("block", [AudioVisualBlock, SoundToSightBlock, ReversedBlock])
def test_eclipse_starts_as_clip4clip_and_can_use_sound(
    block: type[AudioVisualBlock],
) -> None:
    clip, clips, ids = tiny_clip(), small_clips(), sentences()
    encoder = AudioVisualEncoder(clip, sound_dim=SOUND_DIM, block=block).double()
    eclipse = build_model("eclipse", encoder=encoder, dim=DIM).eval()
    mean = build_model("clip4clip.meanp", encoder=ClipEncoder(clip), dim=DIM).eval()
    query = mean.encode_query(ids)
    expected = mean.score(query, mean.encode_items(clips))
    scores = eclipse.score(query, eclipse.encode_items(clips))
    assert torch.equal(scores, expected)
    scores.sum().backward()
    assert encoder.blocks[0].to_see.weight.grad.abs().sum() > 0
    add_noise(encoder.blocks)
    heard = eclipse.score(query, eclipse.encode_items(clips))
    muted = replace(clips, audio_mask=torch.zeros_like(clips.audio_mask))
    torch.testing.assert_close(eclipse.score(query, eclipse.encode_items(muted)), expected)
    assert (heard - expected)[:, :2].abs().min() > 1e-6
    torch.testing.assert_close(heard[:, 2], expected[:, 2])  # the silent one
    with pytest.raises(ValueError, match="3 sound vectors for 4 frames"):
        encoder.encode_items(
            replace(clips, audio=clips.audio[:, 1:], audio_mask=clips.audio_mask[:, 1:])
        )


def test_merging_ignores_padding_frames() -> None:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(2, 5, 9, 4, generator=generator)
    mask = torch.tensor([[True] * 5, [True, True, True, False, False]])
    merged, there = merge_frames(x, mask, every=2, clusters=3)
    assert merged.shape == (2, 3, 4, 4)
    assert there.tolist() == [[True, True, True], [True, True, False]]
    torch.testing.assert_close(merged[0, 0, 0], x[0, :2, 0].mean(0))
    torch.testing.assert_close(merged[1, 1, 0], x[1, 2, 0])  # its second frame is padding
    for token in merged[1, 1, 1:]:
        assert (x[1, 2, 1:] == token).all(-1).any()
    with pytest.raises(ValueError, match="17 clusters of 16 patches"):
        MergingEncoder(tiny_clip(), clusters=17)


def test_merging_single_frames_with_all_patches_changes_nothing() -> None:
    clip, clips = tiny_clip(), small_clips()
    every = MergingEncoder(clip, clusters=PATCHES, merge={1: 1})
    tokens, plain = every.encode_items(clips), ClipEncoder(clip).encode_items(clips)
    there = clips.frame_mask
    torch.testing.assert_close(tokens.frames[there], plain.frames[there])
    assert torch.equal(tokens.frame_mask, there)
