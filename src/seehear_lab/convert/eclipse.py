"""Convert checkpoints of ECLIPSE: a CLIP with audio-visual attention in each picture block."""

from __future__ import annotations

from seehear_lab.convert import keys
from seehear_lab.convert.clip import VISION, clip_from_openai
from seehear_lab.convert.clip4clip import SIZES
from seehear_lab.convert.keys import Converted, State

BLOCK = {
    "vis_audio_attn.in_proj_": "see.qkv.",
    "vis_audio_attn.out_proj.": "see.out.",
    "audio_vis_attn.in_proj_": "hear.qkv.",
    "audio_vis_attn.out_proj.": "hear.out.",
    "vis_audio_ln_1.": "norm_see.",
    "audio_vis_ln_1.": "norm_hear.",
    "vis_audio_fc.": "to_see.",
    "audio_vis_fc.": "to_hear.",
}
UNUSED = (  # created by the public code but never called
    *(f"visual.{name}" for name in ("myViT.", "conv_audio.", "mlp_audio_k.", "mlp_vis.")),
    *(f"visual.{name}" for name in ("positional_audio", "positional_embedding_tmp")),
    *("visual.audio_cls", "visual.audio_dist", "mlp_audio."),
)
UNUSED_IN_BLOCKS = (".temporal_", ".audio_a_")


def convert_eclipse(checkpoint: State) -> Converted:
    """Convert a checkpoint of ECLIPSE to `eclipse`, whose head has the parts of its encoder.

    Raises: ModelError that lists the missing and the unused keys.
    """
    unused = [key for key in checkpoint if _is_unused(key.removeprefix("clip."))]
    state, ignored = keys.drop_keys(checkpoint, [*SIZES, *unused])
    names = head_names(state)
    plain = {k: x for k, x in state.items() if k.startswith("clip.") and k not in names}
    clip = clip_from_openai(keys.select_prefix(plain, "clip."))
    rest = {k: x for k, x in state.items() if k not in plain}
    head = keys.take(rest, names, what="ECLIPSE")
    head["logit_scale"] = clip["logit_scale"].clone()
    settings = {"dim": len(clip["text_projection.weight"])}
    return Converted(name="eclipse", settings=settings, head=head, clip=clip, ignored=ignored)


def head_names(state: State) -> dict[str, str]:
    """Old name -> new name of the parts that ECLIPSE adds to CLIP's picture tower."""
    names = {f"clip.visual.mlp_audio.{kind}": f"encoder.listen.{kind}" for kind in keys.KINDS}
    return names | keys.layer_names(state, BLOCK, theirs=f"clip.{VISION}", ours="encoder.blocks.")


def _is_unused(key: str) -> bool:
    return key.startswith(UNUSED) or any(name in key for name in UNUSED_IN_BLOCKS)
