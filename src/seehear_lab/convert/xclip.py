"""Convert checkpoints of X-CLIP: those of CLIP4Clip with eight matrices."""

from __future__ import annotations

from seehear_lab.convert import keys
from seehear_lab.convert.clip import clip_from_openai
from seehear_lab.convert.clip4clip import (
    BLOCK,
    CLIP_WIDTH_PER_HEAD,
    POSITIONS,
    SEQUENCE,
    SIZES,
)
from seehear_lab.convert.keys import Converted, State

MATRICES = {
    "global_mat_weight": "whole",
    "local_mat_weight": "local",
    "word_logit_weight": "mix.word_alone",
    "frame_logit_weight": "mix.frame_alone",
    "word_mat_weight": "mix.word_inner",
    "frame_mat_weight": "mix.frame_inner",
    "word_mat_weight2": "mix.word_outer",
    "frame_mat_weight2": "mix.frame_outer",
}


def convert_xclip(checkpoint: State) -> Converted:
    """Convert a checkpoint of X-CLIP (xuguohai/X-CLIP, not Microsoft's) to `xclip` and a CLIP.

    Raises: ModelError that lists the missing and the unused keys.
    """
    state, ignored = keys.drop_keys(checkpoint, SIZES)
    clip = clip_from_openai(keys.select_prefix(state, "clip."))
    rest = keys.drop_prefix(state, "clip.")
    head = keys.take(rest, head_names(rest), what="X-CLIP")
    head["logit_scale"] = clip["logit_scale"].clone()
    dim = len(head["whole"])
    settings = {
        "dim": dim,
        "words": len(head["mix.word_alone"]),
        "frames": len(head["mix.frame_alone"]),
        "layers": keys.count_layers(rest, SEQUENCE),
        "heads": dim // CLIP_WIDTH_PER_HEAD,
        "positions": len(rest[POSITIONS]),
    }
    return Converted(name="xclip", settings=settings, head=head, clip=clip, ignored=ignored)


def head_names(state: State) -> dict[str, str]:
    """Old name -> new name of everything above CLIP."""
    names = MATRICES | {POSITIONS: "temporal.transformer.position.weight"}
    ours = "temporal.transformer.blocks."
    return names | keys.layer_names(state, BLOCK, theirs=SEQUENCE, ours=ours)
