"""Convert checkpoints of AVIGATE: CLIP, AST, a resampler, gated fusion, a projection."""

from __future__ import annotations

from torch import Tensor

from seehear.errors import ModelError, listed
from seehear_lab.convert import keys
from seehear_lab.convert.ast import CLASSIFIERS, ast_from_timm, tower_prefix
from seehear_lab.convert.clip import clip_from_openai
from seehear_lab.convert.clip4clip import BLOCK, CLIP_WIDTH_PER_HEAD, SIZES
from seehear_lab.convert.keys import Converted, State

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
    """Convert a checkpoint of AVIGATE to `avigate`, a CLIP and an AST.

    The prefix of AST is found by its patch embedding; the projection from AST to CLIP is the only
    layer without a known name.

    Raises: ModelError that lists the missing and the unused keys.
    """
    prefix = tower_prefix(checkpoint)
    classifiers = tuple(prefix + name for name in CLASSIFIERS)
    unused = [key for key in checkpoint if key.startswith(classifiers) or "mlp_head." in key]
    state, ignored = keys.drop_keys(checkpoint, [*SIZES, *unused])
    clip = clip_from_openai(keys.select_prefix(state, "clip."))
    ast = ast_from_timm(keys.select_prefix(state, prefix))
    rest = keys.drop_prefix(state, "clip.", prefix)
    names = head_names(rest)
    head = take_head(rest, names | _projection(rest, names))
    head["logit_scale"] = clip["logit_scale"].clone()
    positions, dim = head["position.weight"].shape
    settings = {
        "dim": dim,
        "sound_dim": head["project.weight"].shape[1],
        "sounds": len(head["entry"]),
        "gate_dim": len(head["fusion.0.gate_sound.fc.weight"]),
        "layers": keys.count_layers(rest, FUSION),
        "heads": dim // CLIP_WIDTH_PER_HEAD,
        "positions": positions,
    }
    return Converted(
        name="avigate", settings=settings, head=head, clip=clip, ast=ast, ignored=ignored
    )


def take_head(state: State, names: dict[str, str]) -> dict[str, Tensor]:
    """The head under our names, with the learned queries transposed to rows."""
    head = keys.take(state, names, what="AVIGATE")
    return head | {"entry": head["entry"].T.contiguous()}


def _projection(state: State, names: dict[str, str]) -> dict[str, str]:
    left = sorted(state.keys() - names.keys())
    stems = {key.rpartition(".")[0] for key in left}
    if len(left) != 2 or len(stems) != 1:
        raise ModelError(
            "this is not a checkpoint of AVIGATE: apart from known names it should have one linear "
            f"layer from AST to CLIP, but it has: {listed(left) or 'nothing'}"
        )
    stem = stems.pop()
    return {f"{stem}.{kind}": f"project.{kind}" for kind in keys.KINDS}


def head_names(state: State) -> dict[str, str]:
    """Old name -> new name of everything above CLIP and AST."""
    block = BLOCK | CROSS | {"ln_3.": "ln_3."}
    names = TABLES | keys.layer_names(state, block, theirs=RESAMPLER, ours="resampler.")
    names |= keys.layer_names(state, block | {"ln_4.": "ln_4."}, theirs=FUSION, ours="fusion.")
    return names | {
        f"{FUSION}{layer}.{old}": f"fusion.{layer}.{new}"
        for layer in range(keys.count_layers(state, FUSION))
        for old, new in GATES.items()
    }
