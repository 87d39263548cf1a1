"""CLIP4Clip's checkpoints: a bare state dict, CLIP under OpenAI's names in half precision."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from seehear.errors import ModelError
from seehear_lab.convert.clip import clip_from_openai
from seehear_lab.convert.keys import Converted, State, count_layers, part, take, without

SIZES = ("clip.input_resolution", "clip.context_length", "clip.vocab_size")
POSITIONS = "frame_position_embeddings.weight"
SEQUENCE, TIGHT = "transformerClip.resblocks.", "cross.transformer.resblocks."
BLOCK = {
    "attn.in_proj_": "qkv.",
    "attn.out_proj.": "out.",
    "ln_1.": "ln_1.",
    "ln_2.": "ln_2.",
    "mlp.c_fc.": "widen.",
    "mlp.c_proj.": "narrow.",
}
POOLER = {
    "cross.pooler.ln_pool.": "cross.norm.",
    "cross.pooler.dense.": "cross.dense.",
    "similarity_dense.": "cross.similarity.",
}
LSTM = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
CLIP_WIDTH_PER_HEAD = 64


def convert_clip4clip(checkpoint: State) -> Converted:
    """A CLIP4Clip checkpoint as one of the `clip4clip` models and a CLIP; its keys tell which.

    Raises: ModelError that lists the missing and the unused keys.
    """
    name = _name(checkpoint)
    unneeded = (*SIZES, POSITIONS) if name == "clip4clip.seqlstm" else SIZES
    state, ignored = without(checkpoint, unneeded)
    clip = clip_from_openai(part(state, "clip."))
    rest = {key: value for key, value in state.items() if not key.startswith("clip.")}
    head = take(rest, head_names(checkpoint), what=name)
    head["logit_scale"] = clip["logit_scale"].clone()
    settings = _settings(head, dim=len(clip["text_projection.weight"]))
    return Converted(name=name, settings=settings, head=head, clip=clip, ignored=ignored)


def convert_centerclip(checkpoint: State) -> Converted:
    """A CenterCLIP checkpoint: CLIP4Clip's without a model of time, as clustering has no weights.

    Raises: ModelError that lists the missing and the unused keys.
    """
    converted = convert_clip4clip(checkpoint)
    if converted.name != "clip4clip.meanp":
        raise ModelError(f"this is not a checkpoint of CenterCLIP but of '{converted.name}'")
    return replace(converted, name="centerclip")


def head_names(state: State) -> dict[str, str]:
    """Their name -> ours for everything above CLIP, in the variant that `state` has."""
    variant = _name(state)
    if variant == "clip4clip.meanp":
        return {}
    if variant == "clip4clip.seqlstm":
        return {f"lstm_visual.{name}": f"temporal.lstm.{name}" for name in LSTM}
    if variant == "clip4clip.seqtransf":
        names = {POSITIONS: "temporal.transformer.position.weight"}
        return names | block_names(state, SEQUENCE, "temporal.transformer.blocks.")
    names = {"cross.embeddings.position_embeddings.weight": "cross.transformer.position.weight"}
    names |= {f"{old}{k}": f"{new}{k}" for old, new in POOLER.items() for k in ("weight", "bias")}
    return names | block_names(state, TIGHT, "cross.transformer.blocks.")


def _name(state: State) -> str:
    for prefix, variant in (("lstm", "seqlstm"), ("transformerClip", "seqtransf")):
        if any(key.startswith(prefix) for key in state):
            return f"clip4clip.{variant}"
    tight = any(key.startswith("cross.") for key in state)
    return "clip4clip.tighttransf" if tight else "clip4clip.meanp"


def block_names(state: State, theirs: str, ours: str) -> dict[str, str]:
    return {
        f"{theirs}{layer}.{old}{kind}": f"{ours}{layer}.{new}{kind}"
        for layer in range(count_layers(state, theirs))
        for old, new in BLOCK.items()
        for kind in ("weight", "bias")
    }


def _settings(head: State, *, dim: int) -> dict[str, Any]:
    tables = [table for name, table in head.items() if name.endswith("position.weight")]
    if not tables:
        return {"dim": dim}
    stem = "cross" if "cross.transformer.position.weight" in head else "temporal"
    return {
        "dim": dim,
        "layers": count_layers(head, f"{stem}.transformer.blocks."),
        "heads": dim // CLIP_WIDTH_PER_HEAD,
        "positions": len(tables[0]),
    }
