"""ECLIPSE's checkpoints: CLIP4Clip's layout with audio-visual parts in every picture block."""

from __future__ import annotations

from seehear_lab.convert.clip import VISION, clip_from_openai
from seehear_lab.convert.clip4clip import SIZES
from seehear_lab.convert.keys import Converted, State, count_layers, part, take, without

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
KINDS = ("weight", "bias")
UNUSED = (  # built in the public code, never called
    *(f"visual.{name}" for name in ("myViT.", "conv_audio.", "mlp_audio_k.", "mlp_vis.")),
    *(f"visual.{name}" for name in ("positional_audio", "positional_embedding_tmp")),
    *("visual.audio_cls", "visual.audio_dist", "mlp_audio."),
)
UNUSED_IN_BLOCKS = (".temporal_", ".audio_a_")


def convert_eclipse(checkpoint: State) -> Converted:
    """An ECLIPSE checkpoint as `eclipse` on a `ListeningEncoder`, whose parts are in the head.

    Raises: ModelError that lists the missing and the unused keys.
    """
    unused = [key for key in checkpoint if _is_unused(key.removeprefix("clip."))]
    state, ignored = without(checkpoint, [*SIZES, *unused])
    names = head_names(state)
    clip = clip_from_openai(part({k: x for k, x in state.items() if k not in names}, "clip."))
    rest = {k: x for k, x in state.items() if k in names or not k.startswith("clip.")}
    head = take(rest, names, what="ECLIPSE")
    head["logit_scale"] = clip["logit_scale"].clone()
    settings = {"dim": len(clip["text_projection.weight"])}
    return Converted(name="eclipse", settings=settings, head=head, clip=clip, ignored=ignored)


def head_names(state: State) -> dict[str, str]:
    """Their name -> ours for what ECLIPSE puts into CLIP's picture tower."""
    names = {f"clip.visual.mlp_audio.{kind}": f"encoder.listen.{kind}" for kind in KINDS}
    for layer in range(count_layers(state, f"clip.{VISION}")):
        for old, new in BLOCK.items():
            for kind in KINDS:
                names[f"clip.{VISION}{layer}.{old}{kind}"] = f"encoder.blocks.{layer}.{new}{kind}"
    return names


def _is_unused(key: str) -> bool:
    return key.startswith(UNUSED) or any(name in key for name in UNUSED_IN_BLOCKS)
