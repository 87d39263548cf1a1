"""AVMA apart from its score: degree of match, recalled sound, and training by association."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from models.samples import DIM, SOUND_DIM, pick, silent, small_batch, small_model
from seehear.models import build_model
from seehear.models.avma import AVMA
from seehear.nn.memory import AudioVisualMemory, degree_of_match
from seehear.nn.tokens import TokenBatch
from seehear_lab.losses import associative_loss


def small_avma() -> AVMA:
    model = small_model("avma")
    assert isinstance(model, AVMA)
    return model


def test_match_is_between_0_and_1_and_needs_both_modalities() -> None:
    model, (_, items) = small_avma(), small_batch()
    match = model.match(items)
    assert ((match[[0, 1, 3]] > 0) & (match[[0, 1, 3]] <= 1)).all()
    assert (match[[2, 4]] == 0).all()  # silent; without frames
    same = torch.softmax(torch.randn(3, 5), dim=1)
    torch.testing.assert_close(degree_of_match(same, same), torch.ones(3))
    apart = degree_of_match(torch.eye(2), torch.eye(2).flip(0))
    assert torch.equal(apart, torch.zeros(2))


def test_sound_has_no_effect_at_match_0() -> None:
    model, (_, items) = small_avma(), small_batch()
    nothing = torch.zeros(5, dtype=torch.float64)
    other = replace(items, audio=torch.randn_like(items.audio))
    assert torch.equal(model.embed(items, nothing), model.embed(other, nothing))
    muted = silent(items)
    torch.testing.assert_close(model.embed(items, nothing), model.summary(muted))
    loud = nothing + 1
    differs = (model.embed(items, loud) - model.embed(other, loud)).abs().amax(1)
    assert (differs[[0, 1, 3]] > 1e-4).all()


def test_recalled_sound_is_a_mixture_of_the_stored_ones() -> None:
    torch.manual_seed(0)
    memory = AudioVisualMemory(6, slots=4, temperature=0.001)
    sharp = memory.address_by_sight(memory.sights[2:3])
    torch.testing.assert_close(memory.recall(sharp), memory.sounds[2:3])
    torch.testing.assert_close(memory.address_by_sound(7 * memory.sounds[1:2]), torch.eye(4)[1:2])
    model, (_, items) = small_avma(), small_batch()
    other = replace(items, audio=torch.randn_like(items.audio))
    assert torch.equal(model.recall_sound(items), model.recall_sound(other))
    assert model.recall_sound(items).shape == (5, 6, 8)


def test_associative_loss_ignores_items_without_both_modalities() -> None:
    model, (_, items) = small_avma(), small_batch()
    complete = pick(items, torch.tensor([0, 1, 3]))
    torch.testing.assert_close(associative_loss(model, items), associative_loss(model, complete))
    nothing = associative_loss(model, silent(items))
    assert nothing == 0
    nothing.backward()


def pairs(count: int, *, seed: int) -> TokenBatch:
    """Items of four kinds, each kind with its own frame and sound vector, plus noise."""
    generator = torch.Generator().manual_seed(seed)
    kind = torch.arange(count) % 4
    looks = torch.randn(4, DIM, generator=torch.Generator().manual_seed(90))
    sounds = torch.randn(4, SOUND_DIM, generator=torch.Generator().manual_seed(91))

    def noisy(values: torch.Tensor, tokens: int) -> torch.Tensor:
        spread = 0.3 * torch.randn(count, tokens, values.shape[1], generator=generator)
        return values[kind][:, None] + spread

    every = torch.ones(count, 3, dtype=torch.bool)
    return TokenBatch(
        frames=noisy(looks, 3), frame_mask=every, audio=noisy(sounds, 3), audio_mask=every
    )


SMALLER = {"hidden": 16, "wide": 32, "layers": 2, "heads": 2, "slots": 8, "projection": 8}


def test_training_by_association_separates_own_from_exchanged_sounds() -> None:
    """After training on pairs without text, match is higher for own sounds of new items."""
    torch.manual_seed(0)
    model: Any = build_model("avma", dim=DIM, sound_dim=SOUND_DIM, **SMALLER)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(60):
        optimiser.zero_grad()
        associative_loss(model, model.encode_items(pairs(16, seed=step))).backward()
        optimiser.step()
    right = pairs(16, seed=1000)
    wrong = replace(right, audio=right.audio.roll(1, dims=0))
    model.eval()
    with torch.inference_mode():
        own, exchanged = (model.match(model.encode_items(items)) for items in (right, wrong))
    assert own.mean() > exchanged.mean() + 0.3
    assert (own[:, None] > exchanged).float().mean() == pytest.approx(1.0, abs=0.05)
