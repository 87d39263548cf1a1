"""Folded scores equal the model's; models with other equations are not folded."""

import numpy as np
import pytest
import torch

from lab.variants import ENTRIES, FUSIONS, SETTINGS
from models.samples import small_batch, small_model
from seehear.models import build_model, registry
from seehear.nn.tokens import TokenBatch
from seehear_lab.evaluate.folded import folded


@pytest.mark.parametrize("name", ["xpool", "tefal", "tefal.xpool"])
def test_equal_to_the_model(name: str) -> None:
    model, (query, media) = small_model(name, heads=1), small_batch()
    items = model.encode_items(media)
    score = folded(model)
    assert score is not None
    with torch.inference_mode():
        expected = model.score(query, items).numpy()
        few, many = score(query, items).numpy(), score(query.repeat(30, 1), items).numpy()
    assert np.abs(few - expected).max() < 1e-6
    assert np.abs(many - np.tile(expected, (30, 1))).max() < 1e-6  # enough queries for forms


def test_items_without_a_column_of_sound() -> None:
    model, (query, media) = small_model("tefal"), small_batch()
    items = model.encode_items(media)
    mute = TokenBatch(**(vars(items) | {n: vars(items)[n][:, :0] for n in ("audio", "audio_mask")}))
    score = folded(model)
    assert score is not None
    with torch.inference_mode():
        assert (score(query, mute) - model.score(query, mute)).abs().max() < 1e-6


@pytest.mark.parametrize("name", ["xpool", "tefal.xpool", "clip4clip.meanp", "xpool.topk"])
def test_several_heads_and_other_equations_stay_in_torch(name: str) -> None:
    assert folded(small_model(name)) is None  # the first two have several heads there


@pytest.mark.parametrize("name", SETTINGS)
def test_other_fusions_stay_in_torch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._ENTRIES, name, ENTRIES[name])
    model = build_model(name, **(SETTINGS[name] | ({"heads": 1} if name in FUSIONS else {})))
    assert folded(model) is None
