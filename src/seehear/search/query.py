"""What the user asked -> a query in the engine's space, in the mode they chose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from seehear.engine import Engine
from seehear.errors import UsageError
from seehear.media import read_any
from seehear.types import EncodedQuery, Mode, Query


def encode(engine: Engine, query: Query) -> EncodedQuery:
    """Encode a text or an example file; `mode` "seen" or "heard" shuts the other sense out.

    Raises: UsageError if nothing is asked, or an example lacks what the mode needs;
    MediaError if the example cannot be read.
    """
    if bool(query.text.strip()) == bool(query.like):
        raise UsageError("a search needs either words or --like FILE; give one of them")
    if query.text:
        text = query.text.strip().encode("utf-8", "replace").decode()  # no lone surrogates
        encoded = engine.encode_text(text)
    else:
        clip = read_any(Path(query.like), engine.media)
        lacks = {"seen": not len(clip.frames), "heard": clip.sound != "sound"}
        if lacks.get(query.mode):
            what = {"seen": "pictures", "heard": "sound"}[query.mode]
            raise UsageError(
                f"{query.like!r} has no {what}, which --mode {query.mode} needs; leave --mode out "
                "or choose another file"
            )
        if all(lacks.values()):
            raise UsageError(f"{query.like!r} holds neither pictures nor sound to search with")
        encoded = engine.encode_example(clip)
    return in_mode(encoded, query.mode)


def in_mode(query: EncodedQuery, mode: Mode) -> EncodedQuery:
    """The same query judged by one sense alone, unless `mode` is "both"."""
    if mode == "both":
        return query
    share = np.full_like(query.heard_share, 1.0 if mode == "heard" else 0.0)
    return replace(query, heard_share=share)
