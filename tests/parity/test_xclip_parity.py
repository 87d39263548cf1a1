"""X-CLIP's four similarities against golden vectors of its public code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from parity.compare import close, part, sight_only, symmetric_loss
from seehear.models.xclip import XCLIP, XCLIPConfig
from seehear.nn.temporal import Unchanged
from seehear_lab.convert.keys import take
from seehear_lab.convert.xclip import head_names

Load = Callable[[str], dict[str, Any]]
LETTERS = ("a_video_sentence", "b_video_word", "c_sentence_frame", "d_frame_word")
every_run = pytest.mark.parametrize(
    ("backbone", "mask"), [(b, m) for b in ("meanP", "seqTransf") for m in ("full", "mixed")]
)


def model_of(file: dict[str, Any], backbone: str) -> XCLIP:
    weights = part(file, "w/")
    scale = weights.pop("clip.logit_scale")
    config = XCLIPConfig(
        dim=file["in/frames"].shape[2],
        words=file["in/words"].shape[1],
        frames=file["in/frames"].shape[1],
        layers=int(file["cfg/num_layers"]),
        heads=int(file["cfg/num_heads"]),
    )
    model = XCLIP(config).eval()
    model.load_state_dict(take(weights, head_names(weights), what="it") | {"logit_scale": scale})
    if backbone == "meanP":
        model.temporal = Unchanged()
    return model


def terms_of(model: XCLIP, inputs: dict[str, Tensor], mask: str) -> Tensor:
    """As in the public code, padding frames are masked in the video vector, not in b, c and d."""
    query = torch.cat([inputs["sentence"], inputs["words"]], dim=1)
    items = model.encode_items(sight_only(inputs["frames"], inputs[f"mask_{mask}"]))
    video = model.summary(items)
    everything = torch.ones(inputs["frames"].shape[:2], dtype=torch.bool)
    return model.terms(query, video, inputs["frames"], everything)


@every_run
def test_four_similarities_and_their_mean(golden: Load, backbone: str, mask: str) -> None:
    file = golden("xclip")
    model, inputs, out = model_of(file, backbone), part(file, "in/"), part(file, f"out_{backbone}/")
    terms = model.logit_scale.exp() * terms_of(model, inputs, mask)
    for ours, letter in zip(terms, LETTERS, strict=True):
        close(ours, out[f"{mask}_{letter}"], atol=2e-5)
    close(terms.mean(0), out[f"{mask}_sims"], atol=1e-5)
    if mask == "full":
        query = torch.cat([inputs["sentence"], inputs["words"]], dim=1)
        items = model.encode_items(sight_only(inputs["frames"]))
        close(model.logits(query, items), out["full_sims"], atol=1e-5)


@every_run
def test_loss_and_gradients(golden: Load, backbone: str, mask: str) -> None:
    file = golden("xclip")
    model, inputs, out = model_of(file, backbone), part(file, "in/"), part(file, f"out_{backbone}/")
    leaves = {name: inputs[name].requires_grad_() for name in ("sentence", "words", "frames")}
    loss = symmetric_loss(model.logit_scale.exp() * terms_of(model, inputs, mask).mean(0))
    close(loss, out[f"{mask}_loss"], atol=1e-5)
    loss.backward()
    grads = {name: leaf.grad for name, leaf in leaves.items()}
    grads |= {"local_mat_weight": model.local.grad}
    grads |= {"word_mat_weight2": model.mix["word_outer"].grad}
    for name, grad in grads.items():
        close(grad, out[f"{mask}_grad_{name}"], atol=1e-5, rtol=1e-4)
