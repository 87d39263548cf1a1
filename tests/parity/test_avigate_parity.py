"""AVIGATE against golden vectors of its public code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from parity.compare import close, part, symmetric_loss
from seehear.models.avigate import AVIGATE, AVIGATEConfig
from seehear.nn.tokens import TokenBatch
from seehear_lab.convert.avigate import head_names, take_head
from seehear_lab.losses import adaptive_margin

Load = Callable[[str], dict[str, Any]]
every_mask = pytest.mark.parametrize("mask", ["full", "mixed"])


def model_of(file: dict[str, Any]) -> AVIGATE:
    weights = part(file, "w/")
    scale = weights.pop("clip.logit_scale")
    dim, layers = file["in/frames"].shape[2], int(file["cfg/fusion_layers"])
    assert layers == int(file["cfg/resampler_layers"])
    head = take_head(weights, head_names(weights)) | {"logit_scale": scale}
    config = AVIGATEConfig(
        dim=dim,
        sound_dim=dim,
        sounds=file["w/query_tokens"].shape[1],
        gate_dim=len(head["fusion.0.gate_sound.fc.weight"]),
        layers=layers,
        heads=int(file["cfg/num_heads"]),
        positions=len(head["position.weight"]),
    )
    head |= {"project.weight": torch.eye(dim), "project.bias": torch.zeros(dim)}
    model = AVIGATE(config).eval()
    model.load_state_dict(head)
    return model


def everything(inputs: dict[str, torch.Tensor]) -> TokenBatch:
    """The public code fuses padding frames like any other; masks come in with the score."""
    frames, audio = inputs["frames"], inputs["audio_tokens"]
    return TokenBatch(
        frames=frames,
        frame_mask=torch.ones(frames.shape[:2], dtype=torch.bool),
        audio=audio,
        audio_mask=torch.ones(audio.shape[:2], dtype=torch.bool),
    )


@every_mask
def test_resampler_gates_fusion_and_scores(golden: Load, mask: str) -> None:
    file = golden("avigate")
    model, inputs, out = model_of(file), part(file, "in/"), part(file, "out/")
    raw = everything(inputs)
    sound, exact = model.resample(raw), mask == "full"  # a mask costs the public code precision
    close(sound["audio"], out[f"{mask}_resampled_audio"], atol=1e-5)
    x, heard = model.place(raw), replace(raw, **sound)
    for layer, block in enumerate(model.fusion):
        first, second = block.gates(x, heard)
        close(first[:, 0], out[f"{mask}_attn_gates"][:, layer], atol=1e-6 if exact else 2e-5)
        close(second[:, 0], out[f"{mask}_ff_gates"][:, layer], atol=1e-6 if exact else 2e-5)
        x = block.fuse(x, heard)
    close(x, out[f"{mask}_fusion_out"], atol=1e-5 if exact else 4e-4)
    items = model.encode_items(raw)
    close(items.frames, out[f"{mask}_fused_frames"], atol=1e-5 if exact else 4e-5)
    items = replace(items, frame_mask=inputs[f"mask_{mask}"] > 0)
    close(model.logits(inputs["text"][:, 0], items), out[f"{mask}_sims_eval"], atol=2e-5)


@every_mask
def test_training_with_its_margin(golden: Load, mask: str) -> None:
    file = golden("avigate")
    model, inputs, out = model_of(file), part(file, "in/"), part(file, "out/")
    leaves = {name: inputs[name].requires_grad_() for name in ("text", "frames", "audio_tokens")}
    raw, there = everything(inputs), inputs[f"mask_{mask}"] > 0
    text = leaves["text"][: len(there), 0]
    logits = model.logits(text, replace(model.encode_items(raw), frame_mask=there))
    placed = replace(raw, frames=model.place(raw), frame_mask=there)
    margin = adaptive_margin(
        text,
        model.summary(placed),
        slope=float(file["cfg/margin_slope"]),
        maximum=float(file["cfg/margin_max"]),
    )
    assert not margin.requires_grad
    close(model.logit_scale.exp() * margin, out[f"{mask}_margin_times_tau"], atol=2e-5)
    logits = logits + model.logit_scale.exp() * margin
    close(logits, out[f"{mask}_logits_train"], atol=2e-5)
    loss = symmetric_loss(logits)
    close(loss, out[f"{mask}_loss_train"], atol=1e-5)
    loss.backward()
    if mask == "mixed":
        close(model.entry.grad.T, out["mixed_grad_query_tokens"], atol=1e-5)
        close(model.logit_scale.grad, out["mixed_grad_logit_scale"], atol=1e-5)
        for name, leaf in leaves.items():
            close(leaf.grad, out[f"mixed_grad_{name}"], atol=1e-5)
