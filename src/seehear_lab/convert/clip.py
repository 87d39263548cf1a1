"""Convert checkpoints of CLIP (names of OpenAI) to Hugging Face's CLIPModel."""

from __future__ import annotations

import torch
from torch import Tensor

from seehear_lab.convert.keys import KINDS, State, layer_names, take

VISION, TEXT = "visual.transformer.resblocks.", "transformer.resblocks."
HF_VISION, HF_TEXT = "vision_model.encoder.layers.", "text_model.encoder.layers."
TOP = {
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
    "visual.proj": "visual_projection.weight",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "text_projection": "text_projection.weight",
    "logit_scale": "logit_scale",
}
LAYER = {
    "attn.in_proj_": "self_attn.in_proj_",
    "attn.out_proj.": "self_attn.out_proj.",
    "ln_1.": "layer_norm1.",
    "ln_2.": "layer_norm2.",
    "mlp.c_fc.": "mlp.fc1.",
    "mlp.c_proj.": "mlp.fc2.",
}
TRANSPOSED = ("visual_projection.weight", "text_projection.weight")


def clip_names(state: State) -> dict[str, str]:
    """OpenAI's name -> ours, for the layers that `state` has; q, k, v stay packed."""
    vision = layer_names(state, LAYER, theirs=VISION, ours=HF_VISION)
    return TOP | vision | layer_names(state, LAYER, theirs=TEXT, ours=HF_TEXT)


def clip_from_openai(state: State) -> dict[str, Tensor]:
    """Rename the tensors of a CLIP to those of Hugging Face's CLIPModel.

    Raises: ModelError that lists the missing and the unused keys.
    """
    converted: dict[str, Tensor] = {}
    for name, tensor in take(state, clip_names(state), what="CLIP").items():
        if "in_proj_" in name:
            for letter, rows in zip("qkv", tensor.chunk(3), strict=True):
                converted[name.replace("in_proj_", f"{letter}_proj.")] = rows.contiguous()
        else:
            converted[name] = tensor.T.contiguous() if name in TRANSPOSED else tensor
    return converted


def temporal_from_clip(clip: State, *, layers: int = 4) -> dict[str, Tensor]:
    """Initial weights of CLIP4Clip's transformers: the first text layers and positions of a CLIP.

    `clip` has the names of Hugging Face; load the result into a `PositionedTransformer`.

    Source: CLIP4Clip and its public code.
    """
    start = {"position.weight": clip[TOP["positional_embedding"]].float()}
    pairs = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "out": "self_attn.out_proj"}
    pairs |= {"widen": "mlp.fc1", "narrow": "mlp.fc2"}
    for layer in range(layers):
        theirs = f"{HF_TEXT}{layer}."
        for kind in KINDS:
            qkv = [clip[f"{theirs}self_attn.{letter}_proj.{kind}"] for letter in "qkv"]
            start[f"blocks.{layer}.qkv.{kind}"] = torch.cat(qkv).float()
            for new, old in pairs.items():
                start[f"blocks.{layer}.{new}.{kind}"] = clip[f"{theirs}{old}.{kind}"].float()
    return start
