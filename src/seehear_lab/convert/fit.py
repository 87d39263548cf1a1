"""Check a converted checkpoint: all shapes must fit, and towers have their published depth."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from seehear.encoders.folder import silence_transformers
from seehear.errors import ModelError, counted, listed
from seehear.models import build_model
from seehear.models.eclipse import AudioVisualEncoder
from seehear_lab import ablations
from seehear_lab.convert.clip import HF_TEXT, HF_VISION
from seehear_lab.convert.keys import Converted, State, count_layers

assert ablations  # imported for the models it registers: a run may be one of them
Shapes = dict[str, tuple[int, ...]]
AST_LAYERS = "layers."
PUBLISHED_LAYERS = {  # width of a tower -> layers; of CLIP, OpenCLIP and AST
    HF_VISION: {768: 12, 1024: 24, 1280: 32, 1408: 40, 1664: 48},
    HF_TEXT: {512: 12, 640: 12, 768: 12, 1024: 24, 1280: 32},
    AST_LAYERS: {768: 12},
}


def check_fit(converted: Converted, folder: Path, *, is_published: bool = True) -> None:
    """Compare the shapes of all tensors with those of the models of transformers and of ours.

    Sizes come from config.json in `folder`, or else from the tensors. A tower with a published
    width must have its published depth, unless it comes from a run of ours.

    Raises: ModelError that lists what does not fit.
    """
    wrong: list[str] = []
    with torch.device("meta"), silence_transformers():
        clip = _clip(converted.clip, folder / "clip") if converted.clip else None
        if clip is not None:
            wrong += _unlike(converted.clip, _shapes(clip))
        if converted.ast:
            wrong += _unlike(converted.ast, _ast_shapes(converted.ast, folder / "ast"))
        if converted.name:
            wrong += _unlike(converted.head, _head_shapes(converted, clip))
    if is_published:
        wrong += [*_cut_short(converted.clip), *_cut_short(converted.ast)]
    if wrong:
        raise ModelError(
            f"this is not a checkpoint of {converted.name or 'AST'}: "
            f"{listed(wrong)}; download it again, or convert it as the model that it was trained as"
        )


def _clip(state: State, folder: Path) -> Any:
    from transformers import CLIPConfig, CLIPModel

    if (folder / "config.json").is_file():
        return CLIPModel(CLIPConfig.from_pretrained(folder, local_files_only=True))
    vision, text = "vision_model.embeddings.", "text_model.embeddings."
    kernel, words = state[f"{vision}patch_embedding.weight"], state[f"{text}token_embedding.weight"]
    patches = len(state[f"{vision}position_embedding.weight"]) - 1
    sizes = {"image_size": math.isqrt(patches) * kernel.shape[-1], "patch_size": kernel.shape[-1]}
    lengths = {
        "vocab_size": len(words),
        "max_position_embeddings": len(state[f"{text}position_embedding.weight"]),
    }
    config = CLIPConfig(
        vision_config=_tower(state, HF_VISION, len(kernel)) | sizes,
        text_config=_tower(state, HF_TEXT, words.shape[1]) | lengths,
        projection_dim=len(state["visual_projection.weight"]),
    )
    return CLIPModel(config)


def _ast_shapes(state: State, folder: Path) -> Shapes:
    """Shapes of an ASTModel; without a config.json, the number of positions is the checkpoint's."""
    from transformers import ASTConfig, ASTModel

    if (folder / "config.json").is_file():
        return _shapes(ASTModel(ASTConfig.from_pretrained(folder, local_files_only=True)))
    kernel = state["embeddings.patch_embeddings.projection.weight"]
    config = ASTConfig(**_tower(state, AST_LAYERS, len(kernel)), patch_size=kernel.shape[-1])
    positions = "embeddings.position_embeddings"
    return _shapes(ASTModel(config)) | {positions: (1, state[positions].shape[1], len(kernel))}


def _tower(state: State, layers: str, width: int) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "intermediate_size": len(state[f"{layers}0.mlp.fc1.bias"]),
        "num_hidden_layers": count_layers(state, layers),
        "num_attention_heads": 1,
    }


def _head_shapes(converted: Converted, clip: Any) -> Shapes:
    """Shapes of the model, including the parts that it adds to CLIP's picture tower."""
    settings, sound = dict(converted.settings), converted.head.get("encoder.listen.weight")
    if clip is not None and "dim" in settings:
        settings["dim"] = clip.config.projection_dim
    if converted.ast and "sound_dim" in settings:
        settings["sound_dim"] = len(converted.ast["layernorm.bias"])
    if sound is not None:
        settings["encoder"] = AudioVisualEncoder(clip, sound_dim=sound.shape[1])
    shapes = _shapes(build_model(converted.name, **settings))
    return {name: shape for name, shape in shapes.items() if not name.startswith("encoder.clip.")}


def _shapes(model: torch.nn.Module) -> Shapes:
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def _unlike(state: State, shapes: Shapes) -> list[str]:
    found = {name: tuple(value.shape) for name, value in state.items()}
    return [
        f"{name} is {_words(found.get(name))} instead of {_words(shapes.get(name))}"
        for name in sorted(found.keys() | shapes.keys())
        if found.get(name) != shapes.get(name)
    ]


def _words(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else " x ".join(map(str, shape)) or "a single number"


def _cut_short(state: State) -> list[str]:
    wrong: list[str] = []
    for layers, depths in PUBLISHED_LAYERS.items():
        count = count_layers(state, layers)
        if not count:
            continue
        width = len(state[f"{layers}0.mlp.fc2.bias"])
        depth = depths.get(width, count)
        if count != depth:
            tower = layers.partition(".")[0].removesuffix("_model")
            layers_found = counted(count, "layer")
            wrong.append(f"{layers_found} of width {width} in {tower} instead of {depth}")
    return wrong
