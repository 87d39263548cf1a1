"""Losses of the rivals against loops; every system learns; degenerate inputs stay finite."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from class_level.made import made_pairs
from seehear_lab.baselines.acmr import ACMR, ACMRConfig, pair_terms
from seehear_lab.baselines.dcca import total_correlation
from seehear_lab.baselines.dscmr import dscmr_terms
from seehear_lab.baselines.jrl import JRL, JRLConfig, nearest_items, posteriors, smoothness
from seehear_lab.baselines.triplets import (
    CJME,
    AVGZSLNet,
    AVGZSLNetConfig,
    CJMEConfig,
    other_class,
    triplet,
)
from seehear_lab.class_level.metrics import Distance, chance
from seehear_lab.class_level.pairs import ClassPairs, scale_features
from seehear_lab.class_level.run import evaluate_vectors
from seehear_lab.class_level.systems import SYSTEMS, build_system

SMALL = {
    "acmr": {"hidden": [12, 10], "code": 8, "epochs": 40, "lr": 3e-3},
    "avgzslnet": {"hidden": 16, "code": 8, "epochs": 40, "batch_size": 30, "lr": 0.02},
    "cjme": {"hidden": 16, "code": 8, "epochs": 40, "batch_size": 30, "lr": 3e-3},
    "dcca": {"hidden": [16], "outputs": 4, "components": 3, "epochs": 30, "lr": 1e-2},
    "dccae": {"hidden": [16], "outputs": 4, "components": 3, "epochs": 30, "lr": 1e-2},
    "dscmr": {
        "x_hidden": 16, "y_hidden": 16, "code": 8, "epochs": 40, "batch_size": 30, "lr": 3e-3,
    },
    "dstc": {
        "x_layers": [16, 8], "y_layers": [16, 8], "translator": [6], "batch_size": 30,
        "epochs_step1": 20, "epochs_step2": 40, "lr": 3e-3, "lr_step2": 3e-3,
    },
    "jrl": {"neighbours": 10},
}  # fmt: skip
DISTANCE: dict[str, Distance] = {"jrl": "dot", "cjme": "euclidean", "avgzslnet": "euclidean"}


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_learns_classes_and_depends_on_its_seed_only(name: str) -> None:
    pairs = scale_features(made_pairs(200, seed=1), np.arange(140), "zscore")
    train, test = pairs[:140], pairs[140:]
    hidden = ClassPairs(x=test.x, y=test.y, labels=np.full(len(test), -1))
    metrics = []
    for _ in range(2):
        torch.manual_seed(0)
        system = build_system(name, SMALL.get(name, {}))
        states = list(system.fit(train, hidden))
        found = evaluate_vectors(system.vectors(test), test.labels, DISTANCE.get(name, "cosine"))
        metrics.append(found)
        assert all(math.isfinite(value) for state in states for value in state.values())
    assert metrics[0] == metrics[1]
    assert metrics[0]["both"] > chance(test.labels, test.labels).map + 15, metrics[0]


def inverse_root(square: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(square)
    return vectors @ np.diag(values**-0.5) @ vectors.T


def test_total_correlation_equals_the_inverse_roots() -> None:
    f, g = numbers(40, 5), numbers(40, 4, seed=1) + numbers(40, 5)[:, :4]
    a, b = (side.numpy() - side.numpy().mean(0) for side in (f, g))
    s_ff, s_gg = (v.T @ v / 39 + 0.1 * np.eye(v.shape[1]) for v in (a, b))
    t = inverse_root(s_ff) @ (a.T @ b / 39) @ inverse_root(s_gg)
    expected = np.linalg.svd(t, compute_uv=False).sum()
    assert total_correlation(f, g, ridge=0.1).item() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("case", ["constant", "copies", "few pairs", "identity", "huge"])
def test_correlation_has_finite_gradients_on_degenerate_inputs(case: str) -> None:
    x = numbers(30, 4)
    f = (
        {
            "constant": torch.ones(30, 4),
            "copies": x[:, :1].expand(30, 4),
            "few pairs": x[:2],
            "identity": torch.eye(4).repeat(8, 1)[:30],  # all eigenvalues but one repeat
            "huge": 1e6 * x,
        }[case]
        .float()
        .clone()
        .requires_grad_()
    )
    g = numbers(len(f), 4, seed=2).float().requires_grad_()
    loss = total_correlation(f, g, ridge=1e-3) + total_correlation(f, f, ridge=1e-3)
    loss.backward()
    assert loss.isfinite()
    assert f.grad is not None
    assert f.grad.isfinite().all()
    assert g.grad is not None
    assert g.grad.isfinite().all()


def test_dscmr_terms_equal_loops() -> None:
    f, g, p, q = numbers(5, 3), numbers(5, 3, seed=1), numbers(5, 4, seed=2), numbers(5, 4, seed=3)
    one_hot = torch.eye(4, dtype=torch.float64)[[0, 1, 0, 3, 1]]
    j1 = j2 = j3 = 0.0
    for i in range(5):
        j1 += ((p[i] - one_hot[i]).norm() + (q[i] - one_hot[i]).norm()).item() / 5
        j3 += (f[i] - g[i]).norm().item() / 5
        for a, b in ((f, f), (f, g), (g, g)):
            for j in range(5):
                theta = (a[i] @ b[j] / a[i].norm() / b[j].norm()).item() / 2
                same = float(one_hot[i] @ one_hot[j])
                j2 += (math.log(1 + math.exp(theta)) - same * theta) / 25
    found = [term.item() for term in dscmr_terms(f, g, (p, q), one_hot)]
    assert found == pytest.approx([j1, j2, j3], abs=1e-10)


def test_acmr_pair_terms_equal_loops() -> None:
    f, g, labels = numbers(6, 3), numbers(6, 3, seed=1), torch.tensor([0, 1, 0, 2, 1, 0])
    near, hinge, unlike = 0.0, 0.0, 0
    for i in range(6):
        near += ((f[i] - g[i]) ** 2).sum().item() / 6
        for j in range(6):
            if labels[i] != labels[j]:
                unlike += 1
                hinge += max(0.0, 4.0 - ((f[i] - g[j]) ** 2).sum().item())
    found = pair_terms(f, g, labels[:, None] == labels, margin=4.0)
    assert found[0].item() == pytest.approx(near)
    assert found[1].item() == pytest.approx(hinge / unlike)


def test_acmr_reverses_the_gradient_of_its_modality_classifier() -> None:
    """The classifier gets its plain gradient, the codes get it times minus the strength."""
    torch.manual_seed(0)
    model = ACMR(ACMRConfig(hidden=(6,), code=8, label_weight=0.0, unlike_weight=0.0, epochs=10))
    model.build(7, 5, 4)
    pairs = made_pairs(20)
    x, y, labels = (torch.from_numpy(side) for side in (pairs.x, pairs.y, pairs.labels))

    def gradient(epoch: int) -> tuple[Tensor, Tensor]:
        model.zero_grad()
        f, g = model.embed(x, y)
        near = (f - g).square().sum(1).mean()
        (model.loss(x, y, labels, epoch=epoch) - near).backward()
        layers = (model.encode_x[0], model.classify_modality[0])
        encoder, classifier = (layer.weight.grad.clone() for layer in layers)  # type: ignore[union-attr]
        return encoder, classifier

    codes = torch.cat(model.embed(x, y))
    modality = torch.arange(2).repeat_interleave(20)
    model.zero_grad()
    torch.nn.functional.cross_entropy(model.classify_modality(codes), modality).backward()
    plain_codes = model.encode_x[0].weight.grad
    plain_classifier = model.classify_modality[0].weight.grad
    assert plain_codes is not None
    for epoch in (0, 3):
        strength = 2 / (1 + math.exp(-epoch)) - 1
        of_codes, of_classifier = gradient(epoch)
        torch.testing.assert_close(of_classifier, plain_classifier)
        torch.testing.assert_close(of_codes, -strength * plain_codes, atol=1e-6, rtol=1e-4)


def test_triplets_equal_loops_and_negatives_are_of_another_class() -> None:
    a, b, c = numbers(6, 3), numbers(6, 3, seed=1), numbers(6, 3, seed=2)
    expected = sum(
        max(0.0, 1 + ((a[i] - b[i]) ** 2).sum().item() - ((a[i] - c[i]) ** 2).sum().item())
        for i in range(6)
    )
    assert triplet(a, b, c, 1.0).item() == pytest.approx(expected / 6)
    labels = torch.tensor([0, 1, 0, 2, 1, 0])
    for _ in range(20):
        assert (labels[other_class(labels)] != labels).all()
    assert other_class(torch.zeros(3, dtype=torch.int64)).tolist() == [0, 1, 2]


def test_cjme_and_avgzslnet_sum_the_terms_of_their_papers(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = made_pairs(12)
    x, y, labels = (torch.from_numpy(side) for side in (pairs.x, pairs.y, pairs.labels))
    other = torch.roll(torch.arange(12), 1)  # labels go round: the next one is another class
    monkeypatch.setattr("seehear_lab.baselines.triplets.other_class", lambda labels: other)

    def apart(a: Tensor, b: Tensor) -> float:
        return ((a - b) ** 2).sum().item()

    for system in (CJME(CJMEConfig(hidden=6)), AVGZSLNet(AVGZSLNetConfig(hidden=6))):
        torch.manual_seed(0)
        system.build(7, 5, 4)
        system.eval()
        f, g = system.embed(x, y)
        words = torch.eye(4)[labels]
        t, total = system.encode_class(words), 0.0
        decode = system.decode if isinstance(system, AVGZSLNet) else None
        for i in range(12):
            j = int(other[i])
            if decode:
                total += ((decode(t[i]) - words[i]) ** 2).mean().item() / 12
            for code in (f, g):
                total += max(0.0, 1 + apart(t[i], code[i]) - apart(t[i], code[j])) / 12
                if decode:
                    total += max(0.0, 1 + apart(code[i], t[i]) - apart(code[i], t[j])) / 12
                    total += ((decode(code[i]) - words[i]) ** 2).mean().item() / 12
                    d, own, far = decode(t[i]), decode(code[i]), decode(code[j])
                    total += max(0.0, 1 + apart(d, own) - apart(d, far)) / 12
        assert system.loss(x, y, labels, epoch=0).item() == pytest.approx(total, rel=1e-4)


def test_jrl_graph_and_posteriors_equal_loops() -> None:
    items, count = numbers(14, 3).numpy(), 3
    edges = np.zeros((14, 14))
    for i in range(14):
        away = [(((items[i] - items[j]) ** 2).sum(), j) for j in range(14) if j != i]
        for _, j in sorted(away)[:count]:
            edges[i, j] = edges[j, i] = 1
    root = np.diag(edges.sum(1) ** -0.5)
    expected = items.T @ (np.eye(14) - root @ edges @ root) @ items
    np.testing.assert_allclose(smoothness(items, count), expected, atol=1e-10)
    one_hot = np.eye(4)[np.arange(14) % 4]
    found = posteriors(items[:2] + 0.1, items, one_hot, 3)
    for row, item in zip(found, items[:2] + 0.1, strict=True):
        order = np.argsort([((item - known) ** 2).sum() for known in items])[:3]
        np.testing.assert_allclose(row, one_hot[order].mean(0))
    np.testing.assert_array_equal(
        nearest_items(items, items, 14, block=5), nearest_items(items, items, 14)
    )


def test_jrl_maps_minimise_its_objective() -> None:
    """Without sparsity, the gradient of the objective is zero after many rounds."""
    pairs = made_pairs(60)
    hidden = ClassPairs(x=pairs.x[40:], y=pairs.y[40:], labels=np.full(20, -1))
    train = pairs[:40]
    system = JRL(JRLConfig(sparsities=(0.0,), rounds=300, neighbours=5))
    list(system.fit(train, hidden))
    views = [
        np.concatenate(v)
        for v in zip(system._standardise(train), system._standardise(hidden), strict=True)
    ]
    p = [torch.from_numpy(m).requires_grad_() for m in system.maps]
    x, y = (torch.from_numpy(view) for view in views)
    labels = torch.eye(4, dtype=torch.float64)[torch.from_numpy(train.labels)]
    graphs = [torch.from_numpy(smoothness(view, 5)) for view in views]
    fits = [((v[:40] @ m - labels) ** 2).sum() for v, m in zip((x, y), p, strict=True)]
    pair = ((x[:40] @ p[0] - y[:40] @ p[1]) ** 2).sum()
    smooth = [torch.trace(m.T @ graph @ m) for graph, m in zip(graphs, p, strict=True)]
    torch.stack([*fits, pair, *smooth]).sum().backward()
    for m in p:
        assert m.grad is not None
        assert m.grad.abs().max() < 1e-6
