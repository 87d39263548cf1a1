"""The three variants of ECLIPSE's block against golden vectors of its public code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import CLIPVisionConfig
from transformers.models.clip.modeling_clip import CLIPEncoderLayer

from parity.compare import close, part
from seehear.encoders.clip_frames import run_layer
from seehear.models.eclipse import AudioVisualBlock, ReversedBlock, SoundToSightBlock
from seehear_lab.convert.clip import LAYER
from seehear_lab.convert.eclipse import BLOCK

Load = Callable[[str], dict[str, Any]]
FORMS = {
    "dual": AudioVisualBlock,
    "single": SoundToSightBlock,
    "dual_reverse": ReversedBlock,
    "dual_zerofc": AudioVisualBlock,
}


def layer_of(file: dict[str, Any]) -> CLIPEncoderLayer:
    """The block of CLIP in the file."""
    weights, width = part(file, "w/"), file["in/x"].shape[2]
    layer = CLIPEncoderLayer(
        CLIPVisionConfig(
            hidden_size=width,
            intermediate_size=4 * width,
            num_attention_heads=int(file["cfg/num_heads"]),
            hidden_act="quick_gelu",
            attn_implementation="eager",
        )
    )
    state: dict[str, Tensor] = {}
    for old, new in LAYER.items():
        for kind in ("weight", "bias"):
            if "in_proj" in old:
                for letter, rows in zip("qkv", weights[f"{old}{kind}"].chunk(3), strict=True):
                    state[f"self_attn.{letter}_proj.{kind}"] = rows
            else:
                state[f"{new}{kind}"] = weights[f"{old}{kind}"]
    layer.load_state_dict(state)
    return layer.eval()


def block_of(file: dict[str, Any], form: str) -> AudioVisualBlock:
    weights, block = part(file, "w/"), FORMS[form](layer_of(file)).eval()
    names = {f"{old}{k}": f"{new}{k}" for old, new in BLOCK.items() for k in ("weight", "bias")}
    state = {new: weights[old] for old, new in names.items()}
    if form == "dual_zerofc":
        state = {name: 0 * x if name.startswith("to_") else x for name, x in state.items()}
    block.load_state_dict(state)
    return block


@pytest.mark.parametrize("form", list(FORMS))
def test_block(golden: Load, form: str) -> None:
    file = golden("eclipse")
    layer, block, out = layer_of(file), block_of(file, form), part(file, f"out_{form}/")
    x = torch.as_tensor(file["in/x"]).transpose(0, 1)  # [frame token width]
    a = torch.as_tensor(file["in/audio"]).transpose(0, 1)
    mask = torch.ones(len(x), 1, dtype=torch.bool)
    heard, sound = block(x, a, mask)
    after = run_layer(layer, heard[None])[0].transpose(0, 1)
    close(after, out["x"], atol=1e-5)
    close(sound.transpose(0, 1), out["audio"], atol=1e-5)
    if form == "dual_zerofc":
        assert torch.equal(heard, x)
        close(after, file["out_plain/x"], atol=1e-5)
        return
    close((heard - x).transpose(0, 1), out["x_residual"], atol=1e-5)
    if form != "single":
        close((sound - a).transpose(0, 1), out["audio_residual"], atol=1e-5)
    assert torch.equal(block(x, a, ~mask)[0], x)
