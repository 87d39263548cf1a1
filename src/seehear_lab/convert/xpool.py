"""Convert checkpoints of X-Pool: a CLIP with Hugging Face's names, and a head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seehear_lab.convert import keys
from seehear_lab.convert.clip import HF_TEXT, HF_VISION, TOP
from seehear_lab.convert.keys import KINDS, Converted, State

HEAD = {
    "cross_attn.q_proj": "see.pool.query",
    "cross_attn.k_proj": "see.pool.key",
    "cross_attn.v_proj": "see.pool.value",
    "cross_attn.out_proj": "see.pool.out",
    "linear_proj": "see.linear",
    "layer_norm1": "see.pool.norm_in",
    "layer_norm2": "see.pool.norm_out",
    "layer_norm3": "see.norm_out",
}
HEAD_NAMES = {f"{old}.{k}": f"{new}.{k}" for old, new in HEAD.items() for k in KINDS}
BUFFERS = (
    "clip.text_model.embeddings.position_ids",
    "clip.vision_model.embeddings.position_ids",
)
LAYER = (
    *(f"self_attn.{name}_proj" for name in ("q", "k", "v", "out")),
    *("layer_norm1", "layer_norm2", "mlp.fc1", "mlp.fc2"),
)


def convert_xpool(checkpoint: Mapping[str, Any], *, heads: int = 1) -> Converted:
    """Convert a checkpoint of X-Pool (or its state dict) to `xpool` and a CLIP.

    The checkpoint does not contain the number of heads; all published ones have 1.

    Raises: ModelError that lists the missing and the unused keys.
    """
    state, ignored = keys.drop_keys(checkpoint.get("state_dict", checkpoint), BUFFERS)
    names = {f"pool_frames.{old}": new for old, new in HEAD_NAMES.items()}
    clip_names = hf_clip_names(keys.select_prefix(state, "clip."))
    names |= {f"clip.{name}": f"clip.{name}" for name in clip_names}
    taken = keys.take(state, names, what="X-Pool")
    clip = keys.select_prefix(taken, "clip.")
    head = {name: taken[name] for name in HEAD_NAMES.values()}
    head["logit_scale"] = clip["logit_scale"].clone()
    settings = {"dim": len(head["see.linear.bias"]), "heads": heads}
    return Converted(name="xpool", settings=settings, head=head, clip=clip, ignored=ignored)


def hf_clip_names(state: State) -> list[str]:
    """Names of Hugging Face's CLIPModel, for the layers that `state` has."""
    names = list(TOP.values())
    for tower in (HF_VISION, HF_TEXT):
        for layer in range(keys.count_layers(state, tower)):
            names += [f"{tower}{layer}.{name}.{k}" for name in LAYER for k in KINDS]
    return names
