"""Which engine: decided once, when a library is created; never swapped afterwards."""

from __future__ import annotations

from typing import Any

from seehear.engine.protocol import Engine
from seehear.errors import ModelError

KNOWN = ("tags",)


def create_engine(name: str = "auto") -> Engine:
    """The engine for a new library; 'auto' takes the best one whose weights are complete here.

    Raises: ModelError (exit code 3) for an unknown engine, or absent or partial weights.
    """
    if name not in ("auto", *KNOWN):
        raise ModelError(f"no engine named {name!r}; known: auto, {', '.join(KNOWN)}")
    from seehear.engine.tags import TagsEngine
    from seehear.engine.tags_files import TagsFiles, default_folder

    return TagsEngine(TagsFiles(default_folder()))


def load_engine(manifest: dict[str, Any]) -> Engine:
    """The engine a library was built with, and no other.

    Raises: ModelError when that engine or its weights are not here, or differ from the record.
    """
    engine = create_engine(str(manifest["engine"]))
    if engine.manifest["fingerprint"] != manifest["fingerprint"]:
        raise ModelError(
            f"this library was built with other weights of engine {engine.name!r} (library "
            f"{str(manifest['fingerprint'])[:12]}, here {engine.manifest['fingerprint'][:12]}); "
            "bring those weights here with 'seehear models import', or index the files again "
            "with 'seehear reindex'"
        )
    return engine
