"""DSTC: losses pair by pair, the two steps, asymmetric scores, learning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from class_level.made import made_pairs
from models.naive_dstc import losses as naive_losses
from models.samples import add_noise
from seehear.models import build_model
from seehear.models.dstc import DSTC
from seehear.nn.tokens import TokenBatch
from seehear_lab.baselines.deep import batches, sample_balanced
from seehear_lab.class_level.metrics import mean_ap
from seehear_lab.class_level.pairs import ClassPairs, scale_features
from seehear_lab.class_level.readers import class_counts, read_set, seen_classes
from seehear_lab.class_level.transitive import TwoStep, TwoStepConfig
from seehear_lab.losses.transitive import TransitiveWeights, transitive_losses, weighted_sum

SMALL = {"x": (7, 9, 6), "y": (5, 8, 4), "translator": (3,), "classes": 4}
TINY = TwoStepConfig(
    x_layers=(9, 6), y_layers=(8, 4), translator=(3,), epochs_step1=2, epochs_step2=2, batch_size=20
)


def tiny_model() -> DSTC:
    torch.manual_seed(3)
    model = add_noise(build_model("dstc", **SMALL).double()).eval()
    assert isinstance(model, DSTC)
    return model


def tiny_batch(count: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    pairs = made_pairs(count)
    x, y = (torch.from_numpy(side).double() for side in (pairs.x, pairs.y))
    return x, y, torch.from_numpy(pairs.labels)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_losses_equal_the_equations_on_three_pairs(distance: Any, reduction: Any) -> None:
    model, (x, y, labels) = tiny_model(), tiny_batch()
    weights = TransitiveWeights()
    found = transitive_losses(
        model, x, y, labels, weights=weights, distance=distance, reduction=reduction
    )
    state = {key: value.detach().numpy() for key, value in model.state_dict().items()}
    expected = naive_losses(
        x.numpy(), y.numpy(), labels.numpy(), state,
        cosine=distance == "cosine", summed=reduction == "sum",
    )  # fmt: skip
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value, rel=1e-9), name
    uneven = TransitiveWeights(ce=1, pc=10, dstc=2, cpc=1000, cdstc=0.5)
    expected_total = sum(getattr(uneven, name) * value for name, value in expected.items())
    assert weighted_sum(found, uneven).item() == pytest.approx(expected_total, rel=1e-9)


def test_a_weight_of_zero_skips_the_work() -> None:
    model, batch = tiny_model(), tiny_batch()
    calls: list[str] = []
    for name in ("to_x", "to_y"):
        model.get_submodule(name).register_forward_hook(lambda *_, name=name: calls.append(name))
    weights = TransitiveWeights(cpc=0, cdstc=0)
    assert list(transitive_losses(model, *batch, weights=weights)) == ["ce", "pc", "dstc"]
    assert len(calls) == 2
    transitive_losses(model, *batch, weights=replace(weights, cdstc=0.1))
    assert len(calls) == 6
    with pytest.raises(ValueError, match="all weights are 0"):
        weighted_sum({}, weights)


def test_swapped_modalities_swap_the_losses_and_the_scores() -> None:
    model, (x, y, labels) = tiny_model(), tiny_batch()
    weights = TransitiveWeights()
    there = transitive_losses(model, x, y, labels, weights=weights)
    back = transitive_losses(model.reversed(), y, x, labels, weights=weights)
    for name, value in there.items():
        torch.testing.assert_close(back[name], value)
    twice = model.reversed().reversed()
    ours, theirs = dict(twice.named_parameters()), dict(model.named_parameters())
    assert ours.keys() == theirs.keys()
    assert all(ours[name] is weight for name, weight in theirs.items())


def features(rows: torch.Tensor) -> TokenBatch:
    there = torch.ones(len(rows), 1, dtype=torch.bool)
    return TokenBatch(
        frames=rows[:, None], frame_mask=there,
        audio=torch.zeros(len(rows), 0, 1).double(), audio_mask=there[:, :0],
    )  # fmt: skip


def test_scores_compare_in_the_querys_space() -> None:
    """An x query uses T_yx only: another T_xy changes nothing; scores are not symmetric."""
    model, (x, y, _) = tiny_model(), tiny_batch()
    scores = model.score(model.encode_query(x), model.encode_items(features(y)))
    other = model.reversed()
    backwards = other.score(other.encode_query(y), other.encode_items(features(x)))
    assert not torch.allclose(scores, backwards.T, atol=1e-3)
    add_noise(model.to_y)
    assert torch.equal(model.score(model.encode_query(x), model.encode_items(features(y))), scores)
    add_noise(model.to_x)
    assert not torch.allclose(
        model.score(model.encode_query(x), model.encode_items(features(y))), scores
    )


def test_the_query_can_be_translated_instead() -> None:
    model, (x, y, _) = tiny_model(), tiny_batch()
    other = build_model("dstc.query", **SMALL).double().eval()
    other.load_state_dict(model.state_dict())
    scores = other.score(other.encode_query(x), other.encode_items(features(y)))
    expected = torch.nn.functional.cosine_similarity(
        model.to_y(model.encode_x(x))[:, None], model.encode_y(y)[None], dim=-1
    )
    torch.testing.assert_close(scores, expected)


def fitted(config: TwoStepConfig, pairs: ClassPairs, *, seed: int = 0) -> TwoStep:
    torch.manual_seed(seed)
    system = TwoStep(config)
    assert len(list(system.fit(pairs, pairs))) == config.epochs_step2
    return system


def test_lab_and_model_compare_the_same_vectors() -> None:
    pairs = made_pairs()
    system = fitted(TINY, pairs)
    found, model = system.vectors(pairs), system.model
    for ours, (one, other), against in (
        (found.x_query @ found.y_gallery.T, (pairs.x, pairs.y), model),
        (found.y_query @ found.x_gallery.T, (pairs.y, pairs.x), model.reversed()),
    ):
        items = against.encode_items(features(torch.from_numpy(other)))
        with torch.no_grad():
            scores = against.score(against.encode_query(torch.from_numpy(one)), items).numpy()
        lengths = np.linalg.norm(found.x_query if against is model else found.y_query, axis=1)
        gallery = found.y_gallery if against is model else found.x_gallery
        np.testing.assert_allclose(
            ours / lengths[:, None] / np.linalg.norm(gallery, axis=1), scores, atol=1e-5
        )


def test_step_two_does_not_change_the_classifiers() -> None:
    pairs = made_pairs()
    first = fitted(replace(TINY, epochs_step2=1, lr_step2=0.0), pairs).model.state_dict()
    second = fitted(TINY, pairs).model.state_dict()
    free = fitted(replace(TINY, freeze_classifier=False), pairs).model.state_dict()
    for key in first:
        if key.startswith("classify_"):
            assert torch.equal(first[key], second[key])
            assert not torch.equal(first[key], free[key])
        elif key.endswith(".weight") and ".1." not in key:
            assert not torch.equal(first[key], second[key]), key


def test_the_literal_learning_rate_does_not_train_the_translators() -> None:
    pairs = made_pairs()
    start = fitted(replace(TINY, epochs_step2=1, lr_step2=0.0), pairs).model
    literal = fitted(replace(TINY, epochs_step2=20, lr_step2=1e-10), pairs).model
    for name, weight in start.to_x.named_parameters():
        torch.testing.assert_close(
            dict(literal.to_x.named_parameters())[name], weight, atol=1e-7, rtol=0
        )


def test_weighted_sampling_makes_classes_equally_likely(shared_data: Path) -> None:
    folder = shared_data / "data/audiosetzsl"
    counts = class_counts(folder, "trn")
    sizes = torch.tensor([counts[name] for name in seen_classes(folder)])
    labels = torch.repeat_interleave(torch.arange(23), sizes)
    torch.manual_seed(0)
    drawn = labels[sample_balanced(labels, 200_000)].bincount(minlength=23) / 200_000
    assert (drawn * 23 - 1).abs().max() < 0.05


def test_batches_visit_every_pair_once_and_drop_a_single_one() -> None:
    pairs = made_pairs(21)
    torch.manual_seed(0)
    seen = torch.cat([x for x, _, _ in batches(pairs, 10)])
    assert len(seen) == 20
    assert {tuple(row) for row in seen.tolist()} < {tuple(row) for row in pairs.x.tolist()}
    assert sum(len(x) for x, _, _ in batches(pairs, 9)) == 21


def test_sizes_of_the_paper() -> None:
    def count(**settings: Any) -> int:
        model = build_model("dstc", **settings)
        return sum(w.numel() for name, w in model.named_parameters() if name != "logit_scale")

    assert count() == 1_163_950
    image_text = {"x": (4096, 2048, 1024), "y": (300, 2048, 1024), "translator": (512,)}
    assert count(classes=10, **image_text) == pytest.approx(15.33e6, rel=1e-3)


@pytest.mark.slow
def test_spoken_and_written_digits_find_each_other(shared_data: Path) -> None:
    data = read_set("digits", shared_data / "data")
    split = data.splits[0]
    pairs = scale_features(data.pairs, split.train, "zscore")
    config = TwoStepConfig(batch_size=128, epochs_step1=10, epochs_step2=14)
    found = {}
    for lr in (1e-4, 1e-10):
        torch.manual_seed(0)
        system = TwoStep(replace(config, lr_step2=lr, epochs_step2=14 if lr > 1e-5 else 1))
        list(system.fit(pairs[split.train], pairs[split.val]))
        test = pairs[split.test]
        vectors, labels = system.vectors(test), (test.labels, test.labels)
        found[lr] = [
            mean_ap(vectors.x_query, vectors.y_gallery, labels).map,
            mean_ap(vectors.y_query, vectors.x_gallery, labels).map,
        ]
    assert min(found[1e-4]) > 92
    assert max(found[1e-10]) < 20  # chance is 11.6
