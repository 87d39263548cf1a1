"""AVIGATE against golden vectors of its public code.

The public code adds -1e4 to all logits of a padding frame when frames attend to sound. This masks
nothing, as a softmax ignores a constant, but float32 rounds such logits to 2^-10, and later
attention spreads the error to all frames. The tests therefore compare with float64. The tolerance
is twice the error of float32 with that constant here, plus 16 roundings (2e-6) of the largest
number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from parity.compare import close, part, symmetric_loss
from seehear.models.avigate import AVIGATE, AVIGATEConfig
from seehear.nn.tokens import TokenBatch
from seehear_lab.convert.avigate import head_names, take_head
from seehear_lab.losses import adaptive_margin

Load = Callable[[str], dict[str, Any]]


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


def everything(inputs: dict[str, Tensor]) -> TokenBatch:
    """A batch without masks: the public code fuses padding frames too, and masks only the score."""
    frames, audio = inputs["frames"], inputs["audio_tokens"]
    return TokenBatch(
        frames=frames,
        frame_mask=torch.ones(frames.shape[:2], dtype=torch.bool),
        audio=audio,
        audio_mask=torch.ones(audio.shape[:2], dtype=torch.bool),
    )


def shift_padding(model: AVIGATE, there: Tensor) -> None:
    """Add -1e4 to the logits of padding frames, as the public code does."""
    for block in model.fusion:
        shift = torch.zeros(there.shape).masked_fill(~there, -1e4)[:, None, :, None]
        block.cross._bias = lambda mask, dtype, shift=shift: shift.expand(-1, -1, -1, mask.shape[1])


def computed(file: dict[str, Any], mask: str, *, exact: bool) -> dict[str, Tensor]:
    """All values in the file: in float64, or in float32 with the constant of the public code."""
    dtype = torch.float64 if exact else torch.float32
    inputs, there = part(file, "in/"), torch.as_tensor(file[f"in/mask_{mask}"]) > 0
    model = model_of(file).to(dtype)
    if not exact:
        shift_padding(model, there)
    names = ("text", "frames", "audio_tokens")
    leaves = {name: inputs[name].to(dtype).requires_grad_() for name in names}
    raw = everything(leaves)
    sound = model.resample(raw)
    x, heard, gates = model.add_positions(raw), replace(raw, **sound), []
    for block in model.fusion:
        gates.append(block.gates(x, heard))
        x = block.fuse(x, heard)
    items = model.encode_items(raw)
    text = leaves["text"][:, 0]
    logits = model.logits(text, replace(items, frame_mask=there))
    placed = replace(raw, frames=model.add_positions(raw), frame_mask=there)
    slope, maximum = (float(file[f"cfg/margin_{name}"]) for name in ("slope", "max"))
    text = text[: len(there)]
    margin = adaptive_margin(text, model.summary(placed), slope=slope, maximum=maximum)
    assert not margin.requires_grad
    margin = model.logit_scale.exp() * margin
    train = logits[: len(there)] + margin
    loss = symmetric_loss(train)
    loss.backward()
    first, second = (torch.cat(pair, dim=1) for pair in zip(*gates, strict=True))
    made = {
        "resampled_audio": sound["audio"],
        "attn_gates": first,
        "ff_gates": second,
        "fusion_out": x,
        "fused_frames": items.frames,
        "sims_eval": logits,
        "margin_times_tau": margin,
        "logits_train": train,
        "loss_train": loss,
        "grad_query_tokens": model.entry.grad.T,
        "grad_logit_scale": model.logit_scale.grad,
        **{f"grad_{name}": leaf.grad for name, leaf in leaves.items()},
    }
    return {name: value.detach().double() for name, value in made.items()}


@pytest.mark.parametrize("mask", ["full", "mixed"])
def test_every_step_and_gradient(golden: Load, mask: str) -> None:
    file = golden("avigate")
    out = part(file, f"out/{mask}_")
    exact, rounded = (computed(file, mask, exact=exact) for exact in (True, False))
    assert out.keys() == {name for name in exact if mask == "mixed" or "grad" not in name}
    size = {"loss_train": float(exact["logits_train"].abs().max())}
    for name, theirs in out.items():
        scale = max(1.0, size.get(name, float(theirs.abs().max())))
        cost = float((exact[name] - rounded[name]).abs().max())
        assert cost < 1e-4 * scale
        close(exact[name], theirs.double(), atol=2e-6 * scale + 2 * cost)
