"""Scoring a gallery in blocks and in two stages, and hubness corrections."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.samples import pick, small_batch, small_model
from seehear.rank import dual_softmax, qb_norm
from seehear_lab.datasets.batches import concat_items
from seehear_lab.evaluate.protocol import Encoded, correct_hubness, score_all, score_two_stage


@pytest.mark.parametrize("name", ["tefal", "xpool", "clip4clip.meanp"])
def test_blocks_give_the_same_scores(name: str) -> None:
    model, (query, items) = small_model(name), small_batch()
    encoded = Encoded(query=query, items=model.encode_items(items))
    expected = model.score(query, encoded.items).detach().numpy()
    for budget in (1, 5000, 10**9):
        assert np.allclose(score_all(model, encoded, budget_bytes=budget), expected, atol=1e-6)


def test_two_stages_that_keep_all_give_the_order_of_one() -> None:
    model, (query, items) = small_model("tefal"), small_batch()
    encoded = Encoded(query=query, items=model.encode_items(items))
    full = score_all(model, encoded)
    both = score_two_stage(model, encoded, np.zeros(4, int), keep=5)
    assert (np.argsort(-both.scores, 1) == np.argsort(-full, 1)).all()
    assert both.stage1_recall == 100


def test_items_dropped_by_stage_one_follow_in_its_order() -> None:
    model, (query, items) = small_model("tefal"), small_batch()
    encoded = Encoded(query=query, items=model.encode_items(items))
    summary = model.summary(encoded.items)
    first = torch.nn.functional.normalize(query, dim=-1) @ summary.T
    second = model.score(query, encoded.items).detach()
    own = np.array([0, 1, 2, 3])
    both = score_two_stage(model, encoded, own, keep=2)
    for row in range(4):
        ranked = first[row].argsort(descending=True)
        kept = sorted(ranked[:2].tolist(), key=lambda item, row=row: -float(second[row, item]))
        assert np.argsort(-both.scores[row]).tolist() == kept + ranked[2:].tolist()
    found = [own[row] in first[row].topk(2).indices.tolist() for row in range(4)]
    assert both.stage1_recall == 100 * np.mean(found)
    with pytest.raises(ValueError, match=r"keep=6 must be within 1 \.\. 5"):
        score_two_stage(model, encoded, own, keep=6)


def test_concatenated_batches_keep_every_item() -> None:
    _, items = small_batch()
    short = pick(items, slice(0, 2))
    short = type(short)(**{name: value[:, :4] for name, value in vars(short).items()})
    both = concat_items([short, pick(items, slice(2, 5))])
    assert both.frames.shape[:2] == (5, 6) and both.audio.shape[:2] == (5, 7)
    assert not both.frame_mask[:2, 4:].any()
    assert torch.equal(both.audio[2:], items.audio[2:])


def test_corrections_return_a_label_and_do_not_modify_scores() -> None:
    scores = np.array([[0.9, 0.5, 0.1], [0.7, 0.6, 0.2], [0.8, 0.1, 0.75]])  # item 0 is a hub
    before = scores.copy()
    bank = np.array([[0.9, 0.1, 0.1]])
    labels = {
        method: correct_hubness(scores, method, bank_scores=bank)[1]
        for method in (
            "none",
            "dual_softmax",
            "inverted_softmax",
            "qb_norm",
            "dual_softmax_qb_norm",
        )
    }
    assert labels == {
        "none": "plain",
        "dual_softmax": "transductive",
        "inverted_softmax": "transductive",
        "qb_norm": "inductive",
        "dual_softmax_qb_norm": "transductive",
    }
    both, _ = correct_hubness(scores, "dual_softmax_qb_norm", bank_scores=bank)
    assert (both == qb_norm(dual_softmax(scores), dual_softmax(bank))).all()
    assert (scores == before).all()
    assert scores.argmax(1).tolist() == [0, 0, 0]
    assert correct_hubness(scores, "dual_softmax")[0].argmax(1).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="bank"):
        correct_hubness(scores, "qb_norm")


def test_a_union_keeps_items_that_match_by_sound_only() -> None:
    model, (query, items) = small_model("tefal"), small_batch()
    encoded = Encoded(query=query, items=model.encode_items(items))
    heard = model.hear.pool_uniformly(encoded.items.audio, encoded.items.audio_mask)
    loudest = torch.nn.functional.normalize(heard, dim=-1) @ query.T
    own = loudest.argmax(0).numpy()  # the best by sound is right
    union = score_two_stage(model, encoded, own, keep=2, stage1="union")
    assert union.stage1_recall == 100
    full = score_all(model, encoded)
    both = score_two_stage(model, encoded, own, keep=5, stage1="union")
    assert (np.argsort(-both.scores, 1) == np.argsort(-full, 1)).all()
    with pytest.raises(ValueError, match="does not pool sight and sound separately"):
        score_two_stage(small_model("clip4clip.meanp"), encoded, own, keep=2, stage1="union")
