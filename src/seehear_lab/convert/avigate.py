"""AVIGATE's checkpoints: CLIP4Clip's names for the frames, a resampler, gates, and AST."""

from __future__ import annotations

from seehear_lab.convert.clip4clip import BLOCK
from seehear_lab.convert.keys import State, count_layers

RESAMPLER, FUSION = "transformer_Fusion.resblocks.", "transformerClip.resblocks."
CROSS = {"cross_attn.in_proj_": "cross.qkv.", "cross_attn.out_proj.": "cross.out."}
TABLES = {
    "frame_position_embeddings.weight": "position.weight",
    "query_position_embeddings.weight": "entry_position.weight",
    "query_tokens": "entry",
}
GATES = {
    "attn_gate.ag_fc.weight": "gate_sound.fc.weight",
    "attn_gate.ag_proj.weight": "gate_sound.proj.weight",
    "ff_gate.fg_fc.weight": "gate_forward.fc.weight",
    "ff_gate.fg_proj.weight": "gate_forward.proj.weight",
    "cross_ff.cross_fc.weight": "cross_widen.weight",
    "cross_ff.cross_proj.weight": "cross_narrow.weight",
}


def head_names(state: State) -> dict[str, str]:
    """Their name -> ours for everything above CLIP and AST."""
    names = dict(TABLES)
    for layer in range(count_layers(state, RESAMPLER)):
        for old, new in (BLOCK | CROSS | {"ln_3.": "ln_3."}).items():
            for kind in ("weight", "bias"):
                names[f"{RESAMPLER}{layer}.{old}{kind}"] = f"resampler.{layer}.{new}{kind}"
    for layer in range(count_layers(state, FUSION)):
        norms = {"ln_3.": "ln_3.", "ln_4.": "ln_4."}
        for old, new in (BLOCK | CROSS | norms).items():
            for kind in ("weight", "bias"):
                names[f"{FUSION}{layer}.{old}{kind}"] = f"fusion.{layer}.{new}{kind}"
        for old, new in GATES.items():
            names[f"{FUSION}{layer}.{old}"] = f"fusion.{layer}.{new}"
    return names
