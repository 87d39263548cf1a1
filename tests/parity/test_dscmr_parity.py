"""DSCMR against golden vectors of its public code: codes, loss terms, gradients and mAP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from parity.compare import close, part
from seehear_lab.baselines.dscmr import DSCMR, DSCMRConfig, dscmr_terms
from seehear_lab.class_level.metrics import Distance, average_precision_at, mean_ap, unit
from seehear_lab.evaluate.ranks import average_precision

Load = Callable[[str], dict[str, Any]]
NAMES = {
    "hidden_x": "img_net.denseL1",
    "hidden_y": "text_net.denseL1",
    "code_x": "linearLayer",
    "classify": "linearLayer2",
}


def network(file: dict[str, Any]) -> DSCMR:
    config = DSCMRConfig(
        x_hidden=64,
        y_hidden=64,
        code=32,
        alpha=float(file["cfg/alpha"]),
        beta=float(file["cfg/beta"]),
    )
    model = DSCMR(config)
    model.build(40, 28, 5)
    for ours, theirs in NAMES.items():
        model.get_submodule(ours).load_state_dict(part(file, f"w/{theirs}."))
    return model


def test_codes_loss_and_every_gradient(golden: Load) -> None:
    file = golden("dscmr")
    model = network(file)
    x, y, labels = (torch.from_numpy(file[f"in/{name}"]) for name in ("img", "txt", "labels"))
    x.requires_grad_()
    y.requires_grad_()
    f, g = model.embed(x, y)
    close(f, file["out/img_code"], atol=1e-6)
    close(g, file["out/txt_code"], atol=1e-6)
    loss = model.loss(x, y, labels, epoch=0)
    close(loss, file["out/loss"], atol=1e-5)
    loss.backward()
    for ours, theirs in NAMES.items():
        for kind in ("weight", "bias"):
            gradient = model.get_parameter(f"{ours}.{kind}").grad
            assert gradient is not None
            close(gradient, file[f"grad/{theirs}.{kind}"], atol=1e-6)
    assert x.grad is not None
    assert y.grad is not None
    close(x.grad, file["grad/img"], atol=1e-6)
    close(y.grad, file["grad/txt"], atol=1e-6)


def test_terms_in_double_precision(golden: Load) -> None:
    file = golden("dscmr")
    model = network(file).double()
    f, g = (torch.from_numpy(file[f"out/{side}_code"]).double() for side in ("img", "txt"))
    labels = F.one_hot(torch.from_numpy(file["in/labels"]), 5).double()
    predicted = tuple(torch.from_numpy(file[f"out/{s}_predict"]).double() for s in ("img", "txt"))
    close(model.classify(f), predicted[0], atol=1e-6)
    terms = dscmr_terms(f, g, (predicted[0], predicted[1]), labels)
    for number, term in enumerate(terms, start=1):
        close(term, file[f"out/J{number}_f64"], atol=1e-7)


@pytest.mark.parametrize(("named", "distance"), [("COS", "cosine"), ("L2", "euclidean")])
def test_map_of_full_and_truncated_rankings(golden: Load, named: str, distance: Distance) -> None:
    file = golden("dscmr")
    sides = {"x": file["in/map_x"], "y": file["in/map_y"]}
    labels = file["in/map_labels"]
    for query, gallery in (("x", "y"), ("y", "x")):
        queries, items = sides[query], sides[gallery]
        full = mean_ap(queries, items, (labels, labels), distance=distance).map / 100
        expected = file[f"out_map/{named}_{query}2{gallery}_k0"]
        np.testing.assert_allclose(full, expected, atol=1e-12, rtol=0)
        if distance == "cosine":
            scores = unit(queries) @ unit(items).T
        else:
            scores = -((queries[:, None] - items[None]) ** 2).sum(-1)
        is_right = labels[:, None] == labels
        np.testing.assert_allclose(average_precision(scores, is_right).mean(), expected, atol=1e-12)
        cut = average_precision_at(scores, is_right, 10, over="hits").mean()
        expected = file[f"out_map/{named}_{query}2{gallery}_k10"]
        np.testing.assert_allclose(cut, expected, atol=1e-12, rtol=0)


def test_map_of_the_codes(golden: Load) -> None:
    file = golden("dscmr")
    labels = (file["in/labels"], file["in/labels"])
    codes = file["out/img_code"], file["out/txt_code"]
    for query, gallery, name in ((0, 1, "net_img2txt"), (1, 0, "net_txt2img")):
        found = mean_ap(codes[query], codes[gallery], labels).map / 100
        np.testing.assert_allclose(found, file[f"out_map/{name}"], atol=1e-12, rtol=0)
