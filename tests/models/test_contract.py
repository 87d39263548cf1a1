"""Properties of every registered model; a new model adds one line to `samples.SMALL`."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.samples import SMALL, add_noise, pick, product_models, silent, small_batch, small_model
from seehear.models import build_model
from seehear.nn.tokens import TokenBatch

IDLE = {  # weights without influence on scores: an unused scale, parts of a second loss
    "clip4clip.tighttransf": ("logit_scale",),
    "avma": ("fit.",),
    "dstc": (
        "encode_x.",
        "classify_",
        "to_y.",
    ),  # queries are encoded already
    "dstc.query": ("encode_x.", "classify_", "to_"),
}
every_model = pytest.mark.parametrize("name", product_models())


def test_every_model_is_tested() -> None:
    assert tuple(sorted(SMALL)) == product_models()


@every_model
def test_shapes_and_unit_summaries(name: str) -> None:
    model, (query, raw) = small_model(name), small_batch(name)
    items = model.encode_items(raw)
    summary = model.summary(items)
    assert model.encode_query(query).shape == query.shape
    assert model.score(query, items).shape == model.logits(query, items).shape == (4, 5)
    lengths = torch.tensor([1.0, 1, 1, 1, 0], dtype=torch.float64)  # the last has no frames
    assert summary.shape == (5, query.shape[-1])
    torch.testing.assert_close(summary.norm(dim=1), lengths)


@every_model
def test_gradients_are_finite_and_reach_every_weight(name: str) -> None:
    model, (query, raw) = small_model(name).train(), small_batch(name)
    query.requires_grad_()
    raw.frames.requires_grad_()
    raw.audio.requires_grad_()
    logits = model.logits(query, model.encode_items(raw))
    F.cross_entropy(logits, torch.arange(4)).backward()
    for key, weight in model.named_parameters():
        if weight.grad is None:
            assert key.startswith(IDLE.get(name, ()))
        else:
            assert weight.grad.isfinite().all(), key
    assert query.grad is not None
    assert query.grad.isfinite().all()
    assert raw.frames.grad is not None
    assert raw.frames.grad.isfinite().all()
    assert (raw.frames.grad[~raw.frame_mask] == 0).all()
    if raw.audio.grad is not None:
        assert raw.audio.grad.isfinite().all()
        assert (raw.audio.grad[~raw.audio_mask] == 0).all()
        assert (raw.audio.grad[raw.audio_mask] != 0).any()


def with_padding(tokens: Tensor, mask: Tensor, *, more: int, value: float) -> Tensor:
    """Extend sequences by `more`, with `value` in all padding."""
    return F.pad(tokens, (0, 0, 0, more)).masked_fill(~F.pad(mask, (0, more))[..., None], value)


@every_model
@pytest.mark.parametrize("value", [1e4, math.nan])
def test_padding_never_changes_a_score(name: str, value: float) -> None:
    model, (query, raw) = small_model(name), small_batch(name)
    padded = TokenBatch(
        frames=with_padding(raw.frames, raw.frame_mask, more=3, value=value),
        frame_mask=F.pad(raw.frame_mask, (0, 3)),
        audio=with_padding(raw.audio, raw.audio_mask, more=2, value=value),
        audio_mask=F.pad(raw.audio_mask, (0, 2)),
    )
    expected = model.score(query, model.encode_items(raw))
    torch.testing.assert_close(model.score(query, model.encode_items(padded)), expected)


@every_model
def test_silent_item_scores_by_sight(name: str) -> None:
    model, (query, raw) = small_model(name), small_batch(name)
    muted = silent(raw)
    without_axis = replace(raw, audio=raw.audio[:, :0], audio_mask=raw.audio_mask[:, :0])
    expected = model.score(query, model.encode_items(without_axis))
    torch.testing.assert_close(model.score(query, model.encode_items(muted)), expected)
    heard = model.score(query, model.encode_items(raw))
    torch.testing.assert_close(heard[:, 2], expected[:, 2])  # item 2 is silent in `raw` too
    assert expected.isfinite().all()


@every_model
def test_item_order_does_not_matter(name: str) -> None:
    model, (query, raw) = small_model(name), small_batch(name)
    items, order = model.encode_items(raw), torch.tensor([3, 0, 4, 2, 1])
    torch.testing.assert_close(
        model.score(query, pick(items, order)), model.score(query, items)[:, order]
    )


@every_model
def test_one_by_one_equals_batched(name: str) -> None:
    model, (query, raw) = small_model(name), small_batch(name)
    batched = model.score(query, model.encode_items(raw))
    for q in range(len(query)):
        for i in range(len(raw.frames)):
            item = model.encode_items(pick(raw, slice(i, i + 1)))
            alone = model.score(query[q : q + 1], item)
            torch.testing.assert_close(alone[0, 0], batched[q, i])


@every_model
def test_saved_and_loaded_model_gives_equal_scores(name: str, tmp_path: Path) -> None:
    model, (query, raw) = small_model(name), small_batch(name)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    other = add_noise(build_model(name, **SMALL[name]).double()).eval()
    other.load_state_dict(load_file(tmp_path / "model.safetensors"))
    expected = model.logits(query, model.encode_items(raw))
    assert torch.equal(other.logits(query, other.encode_items(raw)), expected)


@every_model
def test_inputs_stay_untouched(name: str) -> None:
    model, (query, raw) = small_model(name), small_batch(name)
    before, (query_again, raw_again) = model.state_dict(), small_batch(name)
    before = {key: value.clone() for key, value in before.items()}
    model.score(query, model.encode_items(raw))
    assert torch.equal(query, query_again)
    assert all(torch.equal(vars(raw)[key], value) for key, value in vars(raw_again).items())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def cast(items: TokenBatch, dtype: torch.dtype) -> TokenBatch:
    """The same tokens in another precision."""
    return replace(items, frames=items.frames.to(dtype), audio=items.audio.to(dtype))


@every_model
def test_half_precision_stays_close(name: str) -> None:
    """Tolerances for 8 and 11 bits of precision in all layers, on scores of the order of 1."""
    for dtype, away in ((torch.bfloat16, 0.03), (torch.float16, 0.004)):
        model, (query, raw) = small_model(name).float(), small_batch(name)
        with torch.inference_mode():
            full = model.score(query.float(), model.encode_items(cast(raw, torch.float32)))
            model.to(dtype)
            half = model.score(query.to(dtype), model.encode_items(cast(raw, dtype)))
        assert half.dtype == dtype
        torch.testing.assert_close(half.float(), full, atol=away, rtol=0)
