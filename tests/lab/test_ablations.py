"""The ablations of TEFAL: the contract of all models, the equations in loops, differences."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lab.variants import ENTRIES, FUSIONS, SETTINGS
from models import test_contract
from models.naive import Array, Weights, conditioned, linear, unit
from models.samples import DIM, SMALL, SOUND_DIM, add_noise, small_batch, small_model
from seehear.encoders.ast import AstTower
from seehear.encoders.filterbank import filter_bank
from seehear.models import build_model, registry
from seehear.nn.tokens import TokenBatch
from seehear_lab.ablations.tefal_sound import FIXED_SHIFT, freeze
from tiny_towers import make_ast_folder

ELSEWHERE = {  # these summarise what is heard, which the promise is not about
    ("tefal.heard", "test_shapes_and_unit_summaries"),
    ("tefal.meanp", "test_shapes_and_unit_summaries"),
    ("tefal.heard", "test_gradients_are_finite_and_reach_every_weight"),
}
PROMISES = [
    promise
    for key, promise in vars(test_contract).items()
    if key.startswith("test_") and "name" in inspect.signature(promise).parameters
]


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, entry in ENTRIES.items():
        monkeypatch.setitem(registry._ENTRIES, name, entry)
        monkeypatch.setitem(SMALL, name, SETTINGS[name])


@pytest.mark.parametrize(
    ("name", "promise"),
    [
        pytest.param(name, promise, id=f"{promise.__name__}-{name}")
        for promise in PROMISES
        for name in SETTINGS
        if (name, promise.__name__) not in ELSEWHERE
    ],
)
def test_a_variant_keeps_the_contract(
    name: str, promise: Callable[..., None], tmp_path: Path
) -> None:
    wanted = inspect.signature(promise).parameters
    for value in (1e4, math.nan) if "value" in wanted else (0.0,):
        given = {"name": name, "tmp_path": tmp_path, "value": value}
        promise(**{key: given[key] for key in wanted})


def test_every_part_of_the_contract_is_tested() -> None:
    assert len(PROMISES) >= 8


def fuse_in_loops(name: str, text: Array, frames: Array, sound: Array, w: Weights) -> Array:
    """E of Table 8 from projected sound tokens."""
    see = {"name": "see", "heads": 2}
    mean = sum(sound, np.zeros_like(text)) / max(len(sound), 1)
    if name == "tefal.late":
        return conditioned(text, frames, w, **see) + mean
    if name == "tefal.stack":
        stacked = [*frames, mean] if len(sound) else frames
        return conditioned(text, np.array(stacked), w, **see)
    seen = conditioned(text, frames, w, **see)
    heard = conditioned(text, sound, w, name="hear", heads=2)
    if name == "tefal.concat":
        return linear(np.concatenate([seen, heard]), w, "join")
    there = [z for z, tokens in ((seen, frames), (heard, sound)) if len(tokens)]
    return conditioned(text, np.array(there), w, name="join", heads=2)


@pytest.mark.parametrize("name", FUSIONS)
def test_scores_equal_the_table_in_loops(name: str) -> None:
    model, (query, raw) = small_model(name), small_batch()
    weights = {key: value.detach().numpy() for key, value in model.state_dict().items()}
    scores = model.score(query, model.encode_items(raw)).detach().numpy()
    for q, text in enumerate(query.numpy()):
        for i in range(len(raw.frames)):
            frames = raw.frames[i][raw.frame_mask[i]].numpy()
            sound = raw.audio[i][raw.audio_mask[i]].numpy()
            heard = np.array([linear(token, weights, "project") for token in sound])
            joined = fuse_in_loops(name, text, frames, heard, weights)
            assert scores[q, i] == pytest.approx(unit(text) @ unit(joined), abs=1e-10), (q, i)


def test_concatenation_is_initialised_as_addition() -> None:
    torch.manual_seed(0)
    concat = build_model("tefal.concat", dim=DIM, sound_dim=SOUND_DIM).double().eval()
    tefal = build_model("tefal", dim=DIM, sound_dim=SOUND_DIM).double().eval()
    tefal.load_state_dict(concat.state_dict(), strict=False)
    query, raw = small_batch()
    expected = tefal.score(query, tefal.encode_items(raw))
    torch.testing.assert_close(concat.score(query, concat.encode_items(raw)), expected)


@pytest.mark.parametrize("name", FUSIONS)
def test_only_b_and_c_condition_sound_on_the_text(name: str) -> None:
    """With every sound token replaced by their mean, A and D score the same."""
    model, (query, raw) = small_model(name), small_batch()
    items = model.encode_items(raw)
    mean = items.audio[0].mean(0).expand_as(items.audio[0])
    flat = replace(items, audio=torch.cat([mean[None], items.audio[1:]]))
    change = (model.score(query, items) - model.score(query, flat))[:, 0].abs().max()
    assert (change > 1e-4) == (name in ("tefal.concat", "tefal.cross"))


def test_the_fixed_shift_drops_sound_after_ten_seconds() -> None:
    """0 to 10.24 s low, then high: the fixed bank has no high row, the adaptive one half."""
    time = np.arange(2 * 163_840) / 16_000
    pitch = np.where(time < 10.24, 440, 6000)
    waveform = np.sin(2 * np.pi * pitch * time).astype(np.float32)
    fixed, shift = filter_bank(waveform, shift=FIXED_SHIFT)
    adaptive, adapted = filter_bank(waveform)
    assert (shift, adapted) == (160, 320)
    for bank, share in ((fixed, 0.0), (adaptive, 0.5)):
        is_high = bank[:, 110:118].max(1) > bank[:, 20:40].max(1)
        assert is_high.mean() == pytest.approx(share, abs=0.01)


class Hearing(nn.Module):
    """An encoder of filter banks alone; queries and frames are given as vectors."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.sound = AstTower(folder)

    def encode_query(self, query: Tensor) -> Tensor:
        return query

    def encode_items(self, media: tuple[Tensor, Tensor]) -> TokenBatch:
        frames, banks = media
        audio = self.sound.encode_banks(banks)
        masks = [torch.ones(tokens.shape[:2], dtype=torch.bool) for tokens in (frames, audio)]
        return TokenBatch(frames=frames, frame_mask=masks[0], audio=audio, audio_mask=masks[1])


@pytest.mark.parametrize("is_frozen", [True, False])
def test_a_frozen_tower_is_unchanged_while_its_projection_trains(
    tmp_path: Path, is_frozen: bool
) -> None:
    encoder: Any = Hearing(make_ast_folder(tmp_path, rows=64))
    if is_frozen:
        assert freeze(encoder.sound) is encoder.sound
    model = add_noise(build_model("tefal", encoder=encoder, dim=DIM, sound_dim=48))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    media = torch.randn(3, 4, DIM), torch.randn(3, 64, 128)
    logits = model.train().logits(torch.randn(3, DIM), model.encode_items(media))
    F.cross_entropy(logits, torch.arange(3)).backward()
    optimiser.step()
    moved = {key for key, value in model.state_dict().items() if not value.equal(before[key])}
    assert {"project.weight", "hear.value.weight", "see.value.weight"} <= moved
    assert any(key.startswith("encoder.sound.") for key in moved) != is_frozen


def test_mean_pooling_in_loops() -> None:
    query, items = small_batch()
    model: Any = small_model("tefal.meanp")
    items = model.encode_items(items)
    scores = model.score(query, items).detach()
    for t, text in enumerate(query):
        for i in range(len(items.frames)):
            total = torch.zeros(DIM, dtype=torch.float64)
            for norm, tokens, mask in (
                (model.see, items.frames[i], items.frame_mask[i]),
                (model.hear, items.audio[i], items.audio_mask[i]),
            ):
                if mask.any():
                    total = total + norm(tokens[mask].mean(0)).detach()
            assert float(scores[t, i]) == pytest.approx(float(F.cosine_similarity(text, total, 0)))


def test_the_sound_branch_alone_equals_that_of_tefal() -> None:
    query, items = small_batch()
    full, alone = small_model("tefal"), small_model("tefal.heard")
    own = full.state_dict()
    alone.load_state_dict({key: own[key] for key in alone.state_dict()})
    heard = alone.score(query, alone.encode_items(items))
    deaf = replace(items, frame_mask=torch.zeros_like(items.frame_mask))
    assert torch.allclose(heard, full.score(query, full.encode_items(deaf)))
    assert not heard[:, ~items.audio_mask.any(1)].any()
