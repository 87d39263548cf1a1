"""The choice of an engine: made once, when a library is created."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from seehear.engine.protocol import Engine
from seehear.errors import ModelError

KNOWN = ("clip-ast", "tags")
REMEDIES = {  # for a library of other weights
    "clip-ast": "set SEEHEAR_MODELS to the folder of its weights, or index the files again "
    "with 'seehear reindex --models DIR'",
    "tags": "use the version of seehear that made it, or index the files again with "
    "'seehear reindex'",
}


def create_engine(name: str = "auto", *, models: Path | None = None) -> Engine:
    """The engine for a new library.

    'auto' is `clip-ast` if `models`, a folder of its weights, is given, else `tags`. An incomplete
    folder is an error; there is no fallback to the other engine.

    Raises: ModelError (exit code 3) for an unknown engine, or absent or partial weights.
    """
    if name not in ("auto", *KNOWN):
        raise ModelError(f"no engine named {name!r}; known: auto, {', '.join(KNOWN)}")
    if name == "tags" or (name == "auto" and models is None):
        from seehear.engine.tags import TagsEngine
        from seehear.engine.tags_files import TagsFiles, default_folder

        return TagsEngine(TagsFiles(default_folder()))
    if models is None:
        raise ModelError("engine 'clip-ast' needs a folder of weights; name it with --models DIR")
    from seehear.engine.clip_ast import ClipAstEngine
    from seehear.engine.clip_ast_files import ClipAstFiles

    return ClipAstEngine(ClipAstFiles(models))


def load_engine(manifest: dict[str, Any]) -> Engine:
    """The engine a library was built with, and no other.

    Weights of `clip-ast` are read from their recorded folder, or from `$SEEHEAR_MODELS`.

    Raises: ModelError when the engine or its weights are missing or differ from the record.
    """
    moved = os.environ.get("SEEHEAR_MODELS")
    folder = moved or manifest.get("folder")
    engine = create_engine(str(manifest["engine"]), models=Path(folder) if folder else None)
    there, here = (str(of["fingerprint"])[:12] for of in (manifest, engine.manifest))
    if engine.manifest["fingerprint"] != manifest["fingerprint"]:
        raise ModelError(
            f"this library was built with other weights of engine {engine.name!r}, or by another "
            f"version of it (library {there}, here {here}); {REMEDIES[engine.name]}"
        )
    return engine
