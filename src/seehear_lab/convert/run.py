"""A run of `seehear-lab train` as a folder of weights: its towers and its head."""

from __future__ import annotations

import json
from pathlib import Path

from seehear.errors import ModelError
from seehear_lab.convert.keys import Converted, State, part

DESCRIPTION = "model.json"  # what a run writes beside its weights
CLIP, AST = "encoder.clip.model.", "encoder.ast.model."


def convert_run(state: State, folder: Path) -> Converted:
    """The weights of a run; `folder` holds the name and settings of its model.

    Raises: ModelError if they are not there, or the towers are not plain CLIP and AST.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        raise ModelError(
            f"there is no {DESCRIPTION} beside the weights in '{folder}'; name "
            "best.safetensors in the folder of a run"
        )
    described = json.loads(path.read_text(encoding="utf-8"))
    head = {name: value for name, value in state.items() if not name.startswith((CLIP, AST))}
    left = [name for name in head if name.startswith("encoder.")]
    if left:
        raise ModelError(
            f"{described['model']!r} has a picture tower of its own ({left[0]}); weights of such "
            "models are loaded in Python"
        )
    return Converted(
        name=described["model"],
        settings=described["settings"],
        head=head,
        clip=part(state, CLIP),
        ast=part(state, AST),
        ignored=(),
    )
