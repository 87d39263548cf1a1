"""CLIP4Clip's four heads against golden vectors of its public code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from parity.compare import close, part, sight_only, symmetric_loss
from seehear.models import build_model
from seehear_lab.convert.clip4clip import head_names
from seehear_lab.convert.keys import take

Load = Callable[[str], dict[str, Any]]
HEADS = {
    "meanP": "clip4clip.meanp",
    "seqLSTM": "clip4clip.seqlstm",
    "seqTransf": "clip4clip.seqtransf",
    "tightTransf": "clip4clip.tighttransf",
}
TOLERANCE = {"meanP": 1e-6, "seqLSTM": 1e-6, "seqTransf": 2e-6, "tightTransf": 2e-6}
every_head = pytest.mark.parametrize("head", list(HEADS))


def model_of(file: dict[str, Any], head: str) -> Any:
    weights = {k: v for k, v in part(file, f"w_{head}/").items() if not k.startswith("clip.")}
    settings: dict[str, int] = {"dim": file["in/frames"].shape[-1]}
    if head in ("seqTransf", "tightTransf"):
        table = next(value for key, value in weights.items() if "position_embeddings" in key)
        settings |= {"layers": int(file["cfg/num_layers"]), "heads": int(file["cfg/num_heads"])}
        settings |= {"positions": len(table)}
    model = build_model(HEADS[head], **settings).eval()
    scale = {"logit_scale": torch.as_tensor(file["w_meanP/clip.logit_scale"])}
    model.load_state_dict(take(weights, head_names(weights), what=head) | scale)
    return model


@every_head
@pytest.mark.parametrize("mask", ["full", "mixed", "short"])
def test_similarities_and_loss(golden: Load, head: str, mask: str) -> None:
    file = golden("clip4clip")
    model, inputs, out = model_of(file, head), part(file, "in/"), part(file, f"out_{head}/")
    items = sight_only(inputs["frames"], inputs[f"mask_{mask}"])
    logits = model.logits(inputs["text"][:, 0], items)
    scale = 1.0 if head == "tightTransf" else float(model.logit_scale.detach().exp())
    close(logits / scale, out[f"{mask}_sims"] / scale, atol=TOLERANCE[head])
    close(symmetric_loss(logits), out[f"{mask}_loss"], atol=1e-5)


@every_head
def test_gradients_of_the_mixed_mask(golden: Load, head: str) -> None:
    file = golden("clip4clip")
    model, inputs, out = model_of(file, head), part(file, "in/"), part(file, f"out_{head}/")
    text, frames = inputs["text"].requires_grad_(), inputs["frames"].requires_grad_()
    items = sight_only(frames, inputs["mask_mixed"])
    symmetric_loss(model.logits(text[:, 0], items)).backward()
    assert text.grad is not None
    assert frames.grad is not None
    close(text.grad, out["mixed_grad_text"], atol=1e-5)
    close(frames.grad, out["mixed_grad_frames"], atol=1e-5)
    if head == "tightTransf":
        assert model.logit_scale.grad is None
    else:
        close(model.logit_scale.grad, out["mixed_grad_logit_scale"], atol=1e-5)


@pytest.mark.parametrize("mask", ["full", "mixed", "short"])
def test_transformer_before_its_residual(golden: Load, mask: str) -> None:
    file = golden("clip4clip")
    model, inputs = model_of(file, "seqTransf"), part(file, "in/")
    ours = model.temporal.transformer(inputs["frames"], inputs[f"mask_{mask}"] > 0)
    theirs = file[f"out_seqTransf/{mask}_temporal_out_before_residual"]
    close(ours, theirs, atol=1e-5)


def test_pooled_pair_of_the_tight_head(golden: Load) -> None:
    file = golden("clip4clip")
    model, inputs = model_of(file, "tightTransf"), part(file, "in/")
    pooled = model.cross.pooled(inputs["text"][:, 0], inputs["frames"], inputs["mask_mixed"] > 0)
    close(pooled, file["out_tightTransf/mixed_pooled_pair"], atol=1e-5)
