"""X-CLIP's checkpoints: CLIP4Clip's layout and eight matrices."""

from __future__ import annotations

from seehear_lab.convert.clip import clip_from_openai
from seehear_lab.convert.clip4clip import (
    CLIP_WIDTH_PER_HEAD,
    POSITIONS,
    SEQUENCE,
    SIZES,
    block_names,
)
from seehear_lab.convert.keys import Converted, State, count_layers, part, take, without

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
    """An X-CLIP checkpoint (of xuguohai/X-CLIP, not of Microsoft) as `xclip` and a CLIP.

    Raises: ModelError that lists the missing and the unused keys.
    """
    state, ignored = without(checkpoint, SIZES)
    clip = clip_from_openai(part(state, "clip."))
    rest = {key: value for key, value in state.items() if not key.startswith("clip.")}
    head = take(rest, head_names(rest), what="X-CLIP")
    head["logit_scale"] = clip["logit_scale"].clone()
    dim = len(head["whole"])
    settings = {
        "dim": dim,
        "words": len(head["mix.word_alone"]),
        "frames": len(head["mix.frame_alone"]),
        "layers": count_layers(rest, SEQUENCE),
        "heads": dim // CLIP_WIDTH_PER_HEAD,
        "positions": len(rest[POSITIONS]),
    }
    return Converted(name="xclip", settings=settings, head=head, clip=clip, ignored=ignored)


def head_names(state: State) -> dict[str, str]:
    """Their name -> ours for everything above CLIP."""
    names = MATRICES | {POSITIONS: "temporal.transformer.position.weight"}
    return names | block_names(state, SEQUENCE, "temporal.transformer.blocks.")
