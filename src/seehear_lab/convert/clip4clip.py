"""Convert checkpoints of CLIP4Clip and CenterCLIP: a CLIP with OpenAI's names, and a head."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from seehear.errors import ModelError
from seehear_lab.convert import keys
from seehear_lab.convert.clip import clip_from_openai
from seehear_lab.convert.keys import Converted, State

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
    """Convert a checkpoint of CLIP4Clip to a CLIP and the `clip4clip` model that has its keys.

    Raises: ModelError that lists the missing and the unused keys.
    """
    name = _name(checkpoint)
    unneeded = (*SIZES, POSITIONS) if name == "clip4clip.seqlstm" else SIZES
    state, ignored = keys.drop_keys(checkpoint, unneeded)
    clip = clip_from_openai(keys.select_prefix(state, "clip."))
    head = keys.take(keys.drop_prefix(state, "clip."), head_names(checkpoint), what=name)
    head["logit_scale"] = clip["logit_scale"].clone()
    settings = _settings(head, dim=len(clip["text_projection.weight"]))
    return Converted(name=name, settings=settings, head=head, clip=clip, ignored=ignored)


def convert_centerclip(checkpoint: State) -> Converted:
    """Convert a checkpoint of CenterCLIP, whose clustering has no weights, to `centerclip`.

    Raises: ModelError that lists the missing and the unused keys.
    """
    converted = convert_clip4clip(checkpoint)
    if converted.name != "clip4clip.meanp":
        raise ModelError(
            f"this is not a checkpoint of CenterCLIP but of '{converted.name}'; "
            "convert it as clip4clip"
        )
    return replace(converted, name="centerclip")


def head_names(state: State) -> dict[str, str]:
    """Old name -> new name of everything above CLIP, for the variant of `state`."""
    variant = _name(state)
    if variant == "clip4clip.meanp":
        return {}
    if variant == "clip4clip.seqlstm":
        return {f"lstm_visual.{name}": f"temporal.lstm.{name}" for name in LSTM}
    if variant == "clip4clip.seqtransf":
        names = {POSITIONS: "temporal.transformer.position.weight"}
        return names | keys.layer_names(
            state, BLOCK, theirs=SEQUENCE, ours="temporal.transformer.blocks."
        )
    names = {"cross.embeddings.position_embeddings.weight": "cross.transformer.position.weight"}
    names |= {f"{old}{k}": f"{new}{k}" for old, new in POOLER.items() for k in keys.KINDS}
    return names | keys.layer_names(state, BLOCK, theirs=TIGHT, ours="cross.transformer.blocks.")


def _name(state: State) -> str:
    for prefix, variant in (("lstm", "seqlstm"), ("transformerClip", "seqtransf")):
        if any(key.startswith(prefix) for key in state):
            return f"clip4clip.{variant}"
    tight = any(key.startswith("cross.") for key in state)
    return "clip4clip.tighttransf" if tight else "clip4clip.meanp"


def _settings(head: State, *, dim: int) -> dict[str, Any]:
    tables = [table for name, table in head.items() if name.endswith("position.weight")]
    if not tables:
        return {"dim": dim}
    stem = "cross" if "cross.transformer.position.weight" in head else "temporal"
    return {
        "dim": dim,
        "layers": keys.count_layers(head, f"{stem}.transformer.blocks."),
        "heads": dim // CLIP_WIDTH_PER_HEAD,
        "positions": len(tables[0]),
    }
