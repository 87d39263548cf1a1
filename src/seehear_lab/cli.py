"""The command line of the lab; `seehear-lab convert` makes published checkpoints ours."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from seehear.errors import ModelError, SeeHearError, UsageError
from seehear_lab import commands

if TYPE_CHECKING:
    from torch import Tensor

    from seehear_lab.convert.keys import Converted, State

HEAD, DESCRIPTION, CLIP = "head.safetensors", "head.json", "clip/model.safetensors"
ORIGIN = {  # width of the picture tower, size of its patches
    (768, 32): "openai/clip-vit-base-patch32",
    (768, 16): "openai/clip-vit-base-patch16",
    (1024, 14): "openai/clip-vit-large-patch14",
}

app = typer.Typer(
    name="seehear-lab",
    help="The research half of seehear.",
    epilog="Exit codes: 0 done, 1 unexpected, 2 wrong use, "
    "3 not the checkpoint or weights that were named, 5 unreadable media, "
    "6 a data set that is not whole.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("train")(commands.train)
app.command("table")(commands.show_table)
app.command("finetune")(commands.tune)
app.add_typer(commands.data, name="data")


@app.callback()
def lab() -> None:
    """The research half of seehear."""


@app.command()
def convert(
    kind: Annotated[Literal["xpool", "clip4clip"], typer.Argument(help="What it was trained as.")],
    checkpoint: Annotated[Path, typer.Argument(help="A .safetensors file, or one of torch.save.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write weights into.")],
) -> None:
    """Turn a published checkpoint into a folder of weights; every key is accounted for."""
    taken = [str(output / name) for name in (HEAD, DESCRIPTION, CLIP) if (output / name).exists()]
    if taken:
        raise UsageError(f"{taken[0]} is there already; choose another folder or delete it")
    converted = _convert(kind, read_checkpoint(checkpoint))
    write_weights(converted, output)
    for line in _next_steps(converted, output):
        sys.stdout.write(line + "\n")


def _convert(kind: str, checkpoint: State) -> Converted:
    if kind == "xpool":
        from seehear_lab.convert.xpool import convert_xpool

        return convert_xpool(checkpoint)
    from seehear_lab.convert.clip4clip import convert_clip4clip

    return convert_clip4clip(checkpoint)


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint; a torch file may hold them under `state_dict`, and no code.

    Raises: UsageError if there is no such file; ModelError if it is no checkpoint.
    """
    if not path.is_file():
        raise UsageError(f"there is no file '{path}'; name the checkpoint that you downloaded")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        import torch

        held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle, struct: each names its own, none a base
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"'{path}' cannot be read as weights ({reason}); expected a .safetensors file or a "
            "torch file of tensors and plain values; download it again"
        ) from error
    state: Any = held.get("state_dict", held) if isinstance(held, dict) else held
    if not isinstance(state, dict) or not all(isinstance(x, torch.Tensor) for x in state.values()):
        raise ModelError(
            f"'{path}' holds no state dict; expected tensors by name, alone or under 'state_dict'"
        )
    return state


def write_weights(converted: Converted, folder: Path) -> None:
    """The head, its description and the CLIP below it, as the engine `clip-ast` reads them."""
    from safetensors.torch import save_file

    (folder / CLIP).parent.mkdir(parents=True, exist_ok=True)
    save_file(converted.clip, folder / CLIP, metadata={"format": "pt"})
    save_file(converted.head, folder / HEAD, metadata={"format": "pt"})
    description = {"model": converted.name, "settings": converted.settings}
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")


def _next_steps(converted: Converted, folder: Path) -> list[str]:
    from seehear.engine.clip_ast_files import HEADS

    lines = [f"'{converted.name}' and its CLIP are in {folder}"]
    if converted.ignored:
        lines.append(f"left out, as nothing needs it: {', '.join(converted.ignored)}")
    conv = converted.clip["vision_model.embeddings.patch_embedding.weight"]
    origin = ORIGIN.get((conv.shape[0], conv.shape[-1]), "the CLIP that it was trained from")
    absent = [name for name in ("config.json", "tokenizer.json") if not _in_clip(folder, name)]
    if absent:
        lines.append(f"still to bring into {folder / 'clip'}: {' and '.join(absent)} of {origin}")
    if converted.name in HEADS:
        lines.append(f"then: seehear index PATHS --models {folder}")
    else:
        lines.append("for Python: the engine of 'seehear index' does not take this model")
    return lines


def _in_clip(folder: Path, name: str) -> bool:
    return (folder / "clip" / name).is_file()


def main() -> None:
    """Run the command line; errors a user can cause end in one sentence and their exit code."""
    try:
        app()
    except SeeHearError as error:
        sys.stderr.write(f"seehear-lab: {error}\n")
        sys.exit(error.exit_code)
