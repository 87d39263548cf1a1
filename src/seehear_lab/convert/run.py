"""Convert the weights of a run of `seehear-lab train`: its towers and its head."""

from __future__ import annotations

import json
from pathlib import Path

from seehear.errors import ModelError
from seehear_lab.convert.keys import Converted, State, drop_prefix, select_prefix

DESCRIPTION = "model.json"  # written by a run next to its weights
CLIP, AST = "encoder.clip.model.", "encoder.ast.model."


def convert_run(state: State, folder: Path) -> Converted:
    """Convert the weights of a run; `folder` contains the name and settings of its model.

    Raises: ModelError if these are missing, or the towers are not plain CLIP and AST.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        raise ModelError(
            f"there is no {DESCRIPTION} next to the weights in '{folder}'; pass best.safetensors "
            "in the folder of a run"
        )
    described = json.loads(path.read_text(encoding="utf-8"))
    head = drop_prefix(state, CLIP, AST)
    left = [name for name in head if name.startswith("encoder.")]
    if left:
        raise ModelError(
            f"{described['model']!r} has its own picture tower ({left[0]}), which cannot be "
            "converted; load these weights in Python"
        )
    return Converted(
        name=described["model"],
        settings=described["settings"],
        head=head,
        clip=select_prefix(state, CLIP),
        ast=select_prefix(state, AST),
        ignored=(),
    )
