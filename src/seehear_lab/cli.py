"""The command line of the lab; `seehear-lab convert` makes published checkpoints ours."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from seehear.encoders.folder import in_short
from seehear.errors import ModelError, SeeHearError, UsageError
from seehear_lab import commands
from seehear_lab.class_level import commands as class_level_commands

if TYPE_CHECKING:
    from torch import Tensor

    from seehear_lab.convert.keys import Converted

HEAD, DESCRIPTION = "head.safetensors", "head.json"
CLIP, AST = "clip/model.safetensors", "ast/model.safetensors"
Kind = Literal[
    "ast", "avigate", "centerclip", "clip4clip", "eclipse", "run", "ts2net", "xclip", "xpool"
]
MODULES = {"centerclip": "clip4clip"}  # where the converter is not in a module of its own
ORIGIN = {  # width of the picture tower, size of its patches
    (768, 32): "openai/clip-vit-base-patch32",
    (768, 16): "openai/clip-vit-base-patch16",
    (1024, 14): "openai/clip-vit-large-patch14",
}
AST_ORIGIN = "MIT/ast-finetuned-audioset-10-10-0.4593"

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
app.command("compare")(commands.compare)
app.command("finetune")(commands.tune)
app.command("match")(commands.match)
app.add_typer(commands.data, name="data")
app.command("class-level")(class_level_commands.class_level)


@app.callback()
def lab() -> None:
    """The research half of seehear."""


@app.command()
def convert(
    kind: Annotated[
        Kind,
        typer.Argument(
            metavar="KIND",
            help=f"What it was trained as: {', '.join(get_args(Kind))} (a run of train).",
        ),
    ],
    checkpoint: Annotated[Path, typer.Argument(help="A .safetensors file, or one of torch.save.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write weights into.")],
) -> None:
    """Turn a published checkpoint into a folder of weights; every key is accounted for."""
    taken = [
        str(output / name) for name in (HEAD, DESCRIPTION, CLIP, AST) if (output / name).exists()
    ]
    if taken:
        raise UsageError(f"{taken[0]} is there already; choose another folder or delete it")
    converted = _convert(kind, checkpoint, output)
    write_weights(converted, output)
    for line in _next_steps(converted, output):
        sys.stdout.write(line + "\n")


def _convert(kind: Kind, path: Path, output: Path) -> Converted:
    from seehear_lab.convert.fit import check_fit

    state, is_run = read_checkpoint(path), kind == "run"
    module = import_module(f"seehear_lab.convert.{MODULES.get(kind, kind)}")
    more = (path.parent,) if is_run else ()  # its name and settings lie beside
    try:
        converted = getattr(module, f"convert_{kind}")(state, *more)
        check_fit(converted, output, is_published=not is_run)
    except (LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ModelError(
            f"this is not a checkpoint of {kind}: its tensors do not go together "
            f"({in_short(error)}); fetch it again, or convert it under the model that it was "
            "trained as"
        ) from error
    return converted


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
    """The head, its description and the towers below it, as the engine `clip-ast` reads them."""
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
    lines = [f"{' and '.join(parts)} {'are' if parts[1:] else 'is'} in {folder}"]
    if converted.ignored:
        lines.append(f"left out, as nothing needs it: {', '.join(converted.ignored)}")
    if converted.ast and not (folder / "ast/config.json").is_file():
        lines.append(f"still to bring into {folder / 'ast'}: config.json of {AST_ORIGIN}")
    if not converted.clip:
        return lines
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
