"""A user's query -> a query in the engine's space, in the chosen mode."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from seehear.engine import Engine
from seehear.errors import UsageError
from seehear.media import read_any
from seehear.types import Clip, EncodedQuery, Item, Mode, Query


@runtime_checkable
class Items(Protocol):
    """Access to the items of a library by id."""

    def item(self, item_id: str) -> Item: ...


def encode(engine: Engine, store: Items, query: Query, *, clip: Clip | None = None) -> EncodedQuery:
    """Encode a text or an example; `mode` "seen" or "heard" ignores the other modality.

    `clip` is what the file `query.like` holds, if it was read already.

    Raises: UsageError if the query is empty, or an example lacks what the mode needs;
    MediaError if the example cannot be read.
    """
    given = sum(map(bool, (query.text.strip(), query.like, query.item)))
    if given != 1:
        raise UsageError(
            "give either a text or an example, not both" if given else "give a text or an example"
        )
    if query.mode == "heard" and not engine.hears:
        raise UsageError(
            "this library's weights do not use sound; search in the mode 'both' or 'seen'"
        )
    if query.text:
        text = query.text.strip().encode("utf-8", "replace").decode()  # no lone surrogates
        encoded = engine.encode_text(text)
    elif query.item:
        item = store.item(query.item)
        hears = engine.hears and item.sound == "sound"
        _check(query.item, query.mode, sees=item.has_frames, hears=hears)
        encoded = _example(item, hears=hears)
    else:
        clip = clip or read_any(Path(query.like), engine.media)
        hears = engine.hears and clip.sound == "sound"
        _check(query.like, query.mode, sees=len(clip.frames) > 0, hears=hears)
        encoded = engine.encode_example(clip)
    if query.audio_weight is not None and engine.hears:
        share = np.full_like(encoded.audio_weight, min(max(query.audio_weight, 0.0), 1.0))
        encoded = replace(encoded, audio_weight=share)
    return in_mode(encoded, query.mode)


def _check(name: str, mode: Mode, *, sees: bool, hears: bool) -> None:
    if (mode == "seen" and not sees) or (mode == "heard" and not hears):
        what = "pictures" if mode == "seen" else "sound"
        raise UsageError(
            f"{name!r} has no {what}, needed by the mode '{mode}'; use the mode 'both' or "
            "another file"
        )
    if not (sees or hears):
        raise UsageError(
            f"{name!r} has neither pictures nor sound that this library's engine supports"
        )


def _example(item: Item, *, hears: bool) -> EncodedQuery:
    """An item of the library as an example query, from its stage-1 vectors."""
    share = 0.5 if item.has_frames and hears else float(hears)
    seen, heard = (np.asarray(x, np.float32)[None] for x in (item.seen, item.heard))
    return EncodedQuery(
        seen=seen, heard=heard, audio_weight=np.array([share], np.float32), is_example=True
    )


def in_mode(query: EncodedQuery, mode: Mode) -> EncodedQuery:
    """The same query with all weight on one modality, unless `mode` is "both"."""
    if mode == "both":
        return query
    share = np.full_like(query.audio_weight, 1.0 if mode == "heard" else 0.0)
    return replace(query, audio_weight=share)
