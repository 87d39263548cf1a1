"""Scores of every model against its equations in plain loops, in double precision."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from models import naive, naive_dstc, naive_later
from models.samples import SMALL, product_models, small_batch, small_model
from seehear.nn.conditioning import TextConditionedPool
from seehear.nn.pooling import masked_mean

TWINS: dict[str, Any] = {
    "avigate": naive_later.score_avigate,
    "avma": naive_later.score_avma,
    "centerclip": naive.score_clip4clip,
    "clip4clip.meanp": naive.score_clip4clip,
    "clip4clip.seqlstm": naive.score_clip4clip,
    "clip4clip.seqtransf": naive.score_clip4clip,
    "clip4clip.tighttransf": naive.score_tight,
    "dstc": naive_dstc.score_dstc,
    "dstc.query": naive_dstc.score_dstc_query,
    "eclipse": naive.score_clip4clip,
    "tefal": partial(naive.score_tefal, block=naive.conditioned),
    "tefal.xpool": partial(naive.score_tefal, block=naive.xpool_block),
    "ts2net": naive_later.score_ts2net,
    "xclip": naive_later.score_xclip,
    "xpool": naive.score_xpool,
    "xpool.attention": naive.score_attention,
    "xpool.topk": naive.score_topk,
}


@pytest.mark.parametrize("name", product_models())
def test_scores_equal_the_equations_in_loops(name: str) -> None:
    model, (query, raw) = small_model(name), small_batch(name)
    weights = {key: value.detach().numpy() for key, value in model.state_dict().items()}
    heads = SMALL[name].get("heads", 1)
    scores = model.score(query, model.encode_items(raw)).detach().numpy()
    for q, text in enumerate(query.numpy()):
        for i in range(len(raw.frames)):
            frames = raw.frames[i][raw.frame_mask[i]].numpy()
            sound = raw.audio[i][raw.audio_mask[i]].numpy()
            expected = TWINS[name](text, frames, sound, weights, heads)
            assert scores[q, i] == pytest.approx(expected, abs=1e-10), (name, q, i)


@pytest.mark.parametrize("name", ["clip4clip.tighttransf", "xpool"])
def test_logits_scale_the_score_except_where_the_paper_has_no_scale(name: str) -> None:
    model, (query, items) = small_model(name), small_batch()
    factor = 1.0 if name == "clip4clip.tighttransf" else model.logit_scale.exp()
    torch.testing.assert_close(model.logits(query, items), factor * model.score(query, items))


def test_default_summary_is_the_unit_mean_of_the_frames() -> None:
    model, (_, items) = small_model("xpool"), small_batch()
    summary = model.summary(items).detach().numpy()
    for i, mask in enumerate(items.frame_mask.numpy()):
        mean = sum(items.frames[i].numpy()[mask], np.zeros(summary.shape[1])) / max(mask.sum(), 1)
        np.testing.assert_allclose(summary[i], naive.unit(mean), atol=1e-12)


def test_attention_weights_sum_to_one_over_unmasked_tokens() -> None:
    query, items = small_batch()
    weights = (
        TextConditionedPool(16, heads=2).double().weights(query, items.frames, items.frame_mask)
    )
    assert weights.shape == (4, 2, 5, 6)
    assert (weights.permute(2, 3, 0, 1)[~items.frame_mask] == 0).all()
    expected = items.frame_mask.any(1).double().expand(4, 2, 5)
    torch.testing.assert_close(weights.sum(-1), expected)


def test_mean_ignores_padding() -> None:
    tokens = torch.tensor([[[1.0, 3.0], [5.0, 7.0], [99.0, 99.0]], [[9.0, 9.0]] * 3])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    assert masked_mean(tokens, mask).tolist() == [[3.0, 5.0], [0.0, 0.0]]


def test_zero_words_are_ignored() -> None:
    model, (query, raw) = small_model("xclip"), small_batch("xclip")
    raw = model.encode_items(raw)
    longer = torch.nn.functional.pad(query, (0, 0, 0, 2))
    torch.testing.assert_close(model.score(longer, raw), model.score(query, raw))
    with pytest.raises(ValueError, match=r"6 words, more than the 5 of the matrices; .*words=6"):
        model.score(torch.nn.functional.pad(query, (0, 0, 0, 3)), raw)
