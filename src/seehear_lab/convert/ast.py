"""Convert checkpoints of AST (names of timm) to Hugging Face's ASTModel."""

from __future__ import annotations

from torch import Tensor

from seehear.errors import ModelError, counted
from seehear_lab.convert.keys import Converted, State, drop_keys, layer_names, take

TOP = {
    "cls_token": "embeddings.cls_token",
    "dist_token": "embeddings.distillation_token",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
    "patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
    "norm.weight": "layernorm.weight",
    "norm.bias": "layernorm.bias",
}
LAYER = {
    "norm1.": "layernorm_before.",
    "norm2.": "layernorm_after.",
    "attn.qkv.": "attention.qkv.",
    "attn.proj.": "attention.o_proj.",
    "mlp.fc1.": "mlp.fc1.",
    "mlp.fc2.": "mlp.fc2.",
}
CLASSIFIERS = ("head.", "head_dist.")  # of the picture model that AST was initialised from
TOWER = "patch_embed.proj.weight"  # identifies the tower


def convert_ast(checkpoint: State) -> Converted:
    """Convert a checkpoint of AST (`module.v.*` and a classifier) to an AST without classifier.

    Raises: ModelError that lists the missing and the unused keys.
    """
    prefix = tower_prefix(checkpoint)
    root = prefix.removesuffix("v.")
    unused = [key for key in checkpoint if key.startswith(f"{root}mlp_head.")]
    unused += [key for key in checkpoint if key.startswith(tuple(prefix + c for c in CLASSIFIERS))]
    state, ignored = drop_keys(checkpoint, unused)
    ast = ast_from_timm({key.removeprefix(prefix): x for key, x in state.items()})
    return Converted(name="", settings={}, head={}, clip={}, ast=ast, ignored=ignored)


def tower_prefix(state: State) -> str:
    """Prefix of the names of the tower.

    Raises: ModelError unless there is exactly one tower.
    """
    found = [key.removesuffix(TOWER) for key in state if key.endswith(TOWER)]
    if len(found) != 1:
        raise ModelError(
            f"this is not a checkpoint of AST: {counted(len(found), 'key')} with '{TOWER}', not 1"
        )
    return found[0]


def ast_from_timm(state: State) -> dict[str, Tensor]:
    """Rename the tensors of an AST to those of Hugging Face's ASTModel.

    Raises: ModelError that lists the missing and the unused keys.
    """
    names = TOP | layer_names(state, LAYER, theirs="blocks.", ours="layers.")
    converted: dict[str, Tensor] = {}
    for name, tensor in take(state, names, what="AST").items():
        if ".attention.qkv." in name:
            for letter, rows in zip("qkv", tensor.chunk(3), strict=True):
                converted[name.replace(".qkv.", f".{letter}_proj.")] = rows.contiguous()
        else:
            converted[name] = tensor
    return converted
