"""AVIGATE's checkpoints: CLIP4Clip's names for the frames, a resampler, gates, and AST."""

from __future__ import annotations

from torch import Tensor

from seehear.errors import ModelError
from seehear_lab.convert.ast import CLASSIFIERS, ast_from_timm, tower_prefix
from seehear_lab.convert.clip import clip_from_openai
from seehear_lab.convert.clip4clip import BLOCK, CLIP_WIDTH_PER_HEAD, SIZES
from seehear_lab.convert.keys import Converted, State, count_layers, part, take, without

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


def convert_avigate(checkpoint: State) -> Converted:
    """An AVIGATE checkpoint as `avigate`, a CLIP and an AST.

    AST is found by its patch embedding, and the layer from AST to CLIP by being the only one left,
    whatever they are called; all else has its name.

    Raises: ModelError that lists the missing and the unused keys.
    """
    prefix = tower_prefix(checkpoint)
    classifiers = tuple(prefix + name for name in CLASSIFIERS)
    unused = [key for key in checkpoint if key.startswith(classifiers) or "mlp_head." in key]
    state, ignored = without(checkpoint, [*SIZES, *unused])
    clip, ast = clip_from_openai(part(state, "clip.")), ast_from_timm(part(state, prefix))
    rest = {key: x for key, x in state.items() if not key.startswith(("clip.", prefix))}
    names = head_names(rest)
    head = take_head(rest, names | _projection(rest, names))
    head["logit_scale"] = clip["logit_scale"].clone()
    positions, dim = head["position.weight"].shape
    settings = {
        "dim": dim,
        "sound_dim": head["project.weight"].shape[1],
        "sounds": len(head["entry"]),
        "gate_dim": len(head["fusion.0.gate_sound.fc.weight"]),
        "layers": count_layers(rest, FUSION),
        "heads": dim // CLIP_WIDTH_PER_HEAD,
        "positions": positions,
    }
    return Converted(
        name="avigate", settings=settings, head=head, clip=clip, ast=ast, ignored=ignored
    )


def take_head(state: State, names: dict[str, str]) -> dict[str, Tensor]:
    """The head under our names; learned queries are rows here and columns there."""
    head = take(state, names, what="AVIGATE")
    return head | {"entry": head["entry"].T.contiguous()}


def _projection(state: State, names: dict[str, str]) -> dict[str, str]:
    left = sorted(state.keys() - names.keys())
    stems = {key.rpartition(".")[0] for key in left}
    if len(left) != 2 or len(stems) != 1:
        raise ModelError(
            f"this is not a checkpoint of AVIGATE: beside what is known it should have one linear "
            f"layer from AST to CLIP, and it has: {', '.join(left[:5]) or 'nothing'}"
        )
    stem = stems.pop()
    return {f"{stem}.{kind}": f"project.{kind}" for kind in ("weight", "bias")}


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
