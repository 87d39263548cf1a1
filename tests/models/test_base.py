"""Encoders inside models, the logit scale, and the two pools of TEFAL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.samples import DIM, SOUND_DIM, silent, small_batch, small_model
from seehear.models import Encoder, build_model
from seehear.nn.tokens import TokenBatch


class Letters(nn.Module):
    """An encoder of text: a query is the sum of its letters, an item has one frame per word."""

    def __init__(self) -> None:
        super().__init__()
        self.letters = nn.Embedding(128, DIM)

    def encode_query(self, query: Sequence[str]) -> Tensor:
        return torch.stack([self.letters(torch.tensor([*text.encode()])).sum(0) for text in query])

    def encode_items(self, media: Sequence[Sequence[str]]) -> TokenBatch:
        frames = [self.encode_query(words) for words in media]
        lengths = torch.tensor([len(words) for words in media])
        return TokenBatch(
            frames=nn.utils.rnn.pad_sequence(frames, batch_first=True),
            frame_mask=torch.arange(int(lengths.max())) < lengths[:, None],
            audio=torch.zeros(len(media), 0, SOUND_DIM),
            audio_mask=torch.zeros(len(media), 0, dtype=torch.bool),
        )


@pytest.mark.parametrize("name", ["xpool", "tefal.xpool"])
def test_encoder_is_trained_and_saved_with_the_model(name: str) -> None:
    torch.manual_seed(0)
    settings = {"sound_dim": SOUND_DIM} if name.startswith("tefal") else {}
    encoder = Letters()
    assert isinstance(encoder, Encoder)
    model = build_model(name, encoder=encoder, dim=DIM, **settings).eval()
    torch.nn.init.constant_(model.logit_scale, 1.0)
    media, query = [["dog", "barks"], ["rain"], ["a", "cat", "sleeps"]], ["wuff", "wet", "dozy"]
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)

    def loss() -> Tensor:
        logits = model.logits(model.encode_query(query), model.encode_items(media))
        return F.cross_entropy(logits, torch.arange(3))

    before, first = encoder.letters.weight.detach().clone(), loss().item()
    for _ in range(10):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
    assert loss().item() < first / 2
    assert not torch.equal(before, encoder.letters.weight)
    assert "encoder.letters.weight" in model.state_dict()


def test_clamped_scale_keeps_its_gradient() -> None:
    model = small_model("xpool")
    torch.nn.init.constant_(model.logit_scale, 7.0)
    model.clamp_logit_scale()
    assert model.logit_scale.exp().item() == pytest.approx(100.0)
    query, items = small_batch()
    model.logits(query, items).sum().backward()
    assert model.logit_scale.grad is not None
    assert model.logit_scale.grad.abs() > 0


@pytest.mark.parametrize("name", ["tefal", "tefal.xpool"])
def test_tefal_uses_sound_unless_its_initial_gain_is_0(name: str) -> None:
    query, raw = small_batch()
    model, deaf = small_model(name), build_model(name, dim=DIM, sound_dim=SOUND_DIM, sound_gain=0)
    loud = raw.audio_mask.any(1)
    difference = model.score(query, model.encode_items(raw)) - model.score(
        query, model.encode_items(silent(raw))
    )
    assert (difference.abs().amax(0)[loud] > 1e-3).all()
    assert (difference[:, ~loud] == 0).all()
    model = deaf.double().eval()
    scores = model.score(query, model.encode_items(raw))
    assert torch.equal(scores, model.score(query, model.encode_items(silent(raw))))
    scores.sum().backward()
    assert model.get_parameter("hear.norm_out.weight").grad.abs().sum() > 0  # training can raise it


def test_sight_and_sound_have_separate_pools() -> None:
    model = small_model("tefal")
    query, raw = small_batch()
    items = model.encode_items(raw)
    swapped = replace(
        items,
        frames=items.audio,
        frame_mask=items.audio_mask,
        audio=items.frames,
        audio_mask=items.frame_mask,
    )
    assert not torch.allclose(model.score(query, items), model.score(query, swapped))
    model.see.load_state_dict(model.hear.state_dict())
    torch.testing.assert_close(model.score(query, items), model.score(query, swapped))
