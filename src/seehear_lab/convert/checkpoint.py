"""Convert a checkpoint file into a folder of weights: read, convert, check, write."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from seehear.errors import ModelError, UsageError, shorten

if TYPE_CHECKING:
    from torch import Tensor

    from seehear_lab.convert.keys import Converted

HEAD, DESCRIPTION = "head.safetensors", "head.json"
CLIP, AST = "clip/model.safetensors", "ast/model.safetensors"
Kind = Literal[
    "ast", "avigate", "centerclip", "clip4clip", "eclipse", "run", "ts2net", "xclip", "xpool"
]
MODULES = {"centerclip": "clip4clip"}  # converters that share a module
ORIGIN = {  # (width of the vision tower, patch size): repository on the hub
    (768, 32): "openai/clip-vit-base-patch32",
    (768, 16): "openai/clip-vit-base-patch16",
    (1024, 14): "openai/clip-vit-large-patch14",
}
AST_ORIGIN = "MIT/ast-finetuned-audioset-10-10-0.4593"


def convert_checkpoint(kind: Kind, path: Path, output: Path) -> list[str]:
    """Convert a checkpoint into the folder `output`; return lines that say what to do next.

    Raises: UsageError if the file is missing or the folder has weights; ModelError if the file is
    not a checkpoint of `kind`.
    """
    existing = [output / name for name in (HEAD, DESCRIPTION, CLIP, AST)]
    for file in existing:
        if file.exists():
            raise UsageError(f"'{file}' already exists; choose another folder or delete it")
    converted = _convert(kind, path, output)
    write_weights(converted, output)
    return _next_steps(converted, output)


def _convert(kind: Kind, path: Path, output: Path) -> Converted:
    from seehear_lab.convert.fit import check_fit

    state, is_run = read_checkpoint(path), kind == "run"
    module = import_module(f"seehear_lab.convert.{MODULES.get(kind, kind)}")
    folder = (path.parent,) if is_run else ()  # of the run's model.json
    try:
        converted = getattr(module, f"convert_{kind}")(state, *folder)
        check_fit(converted, output, is_published=not is_run)
    except (LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ModelError(
            f"this is not a checkpoint of {kind}: its tensors have the wrong names or shapes "
            f"({shorten(error)}); download it again, or convert it as the model that it was "
            "trained as"
        ) from error
    return converted


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Tensors of a .safetensors or torch file, at its top level or under `state_dict`.

    Code in a torch file is never run.

    Raises: UsageError if there is no such file; ModelError if it is not a checkpoint.
    """
    if not path.is_file():
        raise UsageError(f"there is no file '{path}'; pass the checkpoint that you downloaded")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        import torch

        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and struct errors share no base class
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"'{path}' cannot be read as weights ({reason}); expected a .safetensors file or a "
            "torch file of tensors and plain values; download it again"
        ) from error
    state: Any = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(state, dict) or not all(isinstance(x, torch.Tensor) for x in state.values()):
        raise ModelError(
            f"'{path}' has no state dict; expected named tensors, at the top level or under "
            "'state_dict'"
        )
    return state


def write_weights(converted: Converted, folder: Path) -> None:
    """Write head, description and towers in the layout that the engine `clip-ast` reads."""
    from safetensors.torch import save_file

    states = {HEAD: converted.head, CLIP: converted.clip, AST: converted.ast}
    for name, state in states.items():
        if state:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            save_file(state, folder / name, metadata={"format": "pt"})
    if converted.name:
        description = {"model": converted.name, "settings": converted.settings}
        (folder / DESCRIPTION).write_text(
            json.dumps(description, indent=1) + "\n", encoding="utf-8"
        )


def _next_steps(converted: Converted, folder: Path) -> list[str]:
    from seehear.engine.clip_ast_files import HEADS

    parts = [f"'{converted.name}'"] if converted.name else []
    parts += ["its CLIP"] if converted.clip else []
    parts += ["its AST" if parts else "AST"] if converted.ast else []
    lines = [f"wrote {' and '.join(parts)} to {folder}"]
    if converted.ignored:
        lines.append(f"left out, not needed: {', '.join(converted.ignored)}")
    if converted.ast and not (folder / "ast/config.json").is_file():
        lines.append(f"copy config.json of {AST_ORIGIN} to {folder / 'ast'}")
    if not converted.clip:
        return lines
    conv = converted.clip["vision_model.embeddings.patch_embedding.weight"]
    origin = ORIGIN.get((conv.shape[0], conv.shape[-1]), "the CLIP that it was trained from")
    files = ("config.json", "tokenizer.json")
    missing = [name for name in files if not (folder / "clip" / name).is_file()]
    if missing:
        lines.append(f"copy {' and '.join(missing)} of {origin} to {folder / 'clip'}")
    if converted.name in HEADS:
        lines.append(f"then run: seehear index PATHS --models {folder}")
    else:
        lines.append("use this model from Python; 'seehear index' does not support it")
    return lines
