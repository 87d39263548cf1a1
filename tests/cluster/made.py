"""A library in the space of the tags engine, with many equal items, made without decoding."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from seehear.engine.tags import TagsEngine
from seehear.store import Store, backend_for
from seehear.store.tables.lance import open_table
from seehear.types import Item, Tokens
from store.samples import Put, make_video


def fill(root: Path | str, engine: TagsEngine, count: int) -> None:
    """So many videos of one or two items; every fourth is a twin, some are silent."""
    with Store.create(
        root, model=engine.manifest, seen_dim=engine.seen_dim, heard_dim=engine.heard_dim
    ) as store:
        store.put(more(engine, 0, count))


def more(engine: TagsEngine, first: int, last: int) -> list[Put]:
    """Videos by number."""
    videos: list[Put] = []
    for number in range(first, last):
        sound = "none" if number % 5 == 0 else "sound"
        video, items = make_video(f"{number}", items=1 + number % 2, sound=sound)
        videos.append((video, [_real(engine, item, number // 4) for item in items]))
    return videos


def _real(engine: TagsEngine, item: Item, seed: int) -> Item:
    rng = np.random.default_rng(seed)
    heard = item.sound == "sound"
    frames = rng.dirichlet(np.full(engine.seen_dim, 0.01), 3)[None].astype(np.float16)
    sounds = rng.beta(0.05, 2, (1, 4 * heard, engine.heard_dim)).astype(np.float16)
    tokens = Tokens(
        frames=frames,
        frame_mask=np.ones((1, 3), bool),
        frame_times_s=np.arange(3, dtype=np.float32)[None],
        audio=sounds,
        audio_mask=np.ones((1, 4 * heard), bool),
        audio_times_s=np.arange(4 * heard, dtype=np.float32)[None],
    )
    summary = engine.summary(tokens)
    return dataclasses.replace(
        item, tokens=tokens, seen=summary.frames[0, 0], heard=summary.audio[0, 0]
    )


def versions_by_batch(address: str) -> dict[str, int]:
    """For every table of rows, how many versions were published by a batch."""
    backend = backend_for(address)
    counts: dict[str, int] = {}
    for name in set(backend.latest_versions()) - {"catalog"}:
        table, _ = open_table(backend, name)
        found = [table.read_transaction(version) for version in range(1, table.version + 1)]
        counts[name] = sum("batch" in (each.transaction_properties or {}) for each in found if each)
    return counts
