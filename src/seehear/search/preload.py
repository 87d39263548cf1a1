"""Exact stage 1 for sight: the frames of all items are kept in memory and scored."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from jaxtyping import Int

from seehear.engine import Engine
from seehear.engine.protocol import SightScanner
from seehear.store import Store, Summaries
from seehear.types import Candidates, EncodedQuery, Filter, Tokens

MAX_ITEMS = 100_000  # beyond it a scan costs more memory and time than it is worth
BATCH = 2048  # items that are scored together
CHUNK = 16  # items whose tokens are read together


@dataclass(frozen=True, kw_only=True, eq=False)
class PreloadedFrames:
    """A scan and the library rows of its items; valid for one snapshot of the library.

    `base` is the scan of its full batches alone, the first `base_size` items: later items are added
    to it, so that many small additions do not leave as many small batches.
    """

    scan: SightScanner
    base: SightScanner
    base_size: int
    ids: tuple[str, ...]  # in the scan's order
    rows: Int[np.ndarray, " item"]  # their rows in the library, -1 for removed items
    summaries: Summaries


_preloaded: WeakKeyDictionary[Engine, PreloadedFrames] = WeakKeyDictionary()


def preload_frames(engine: Engine, store: Store) -> int:
    """Load the frames of all items into memory; returns how many items are loaded.

    Only new items are read, plus less than a batch again. Returns 0 for an engine whose summaries
    are exact, and for more than MAX_ITEMS.
    """
    empty = engine.scan()
    if empty is None or store.counts()["items"] > MAX_ITEMS:
        _preloaded.pop(engine, None)
        return 0
    summaries = store.summaries()
    known = _preloaded.get(engine)
    if known and known.summaries is summaries:
        return len(summaries.ids)
    row_of = {item_id: row for row, item_id in enumerate(summaries.ids)}
    base, ids = (known.base, known.ids[: known.base_size]) if known else (empty, ())
    if sum(item_id in row_of for item_id in ids) < len(ids) / 2:  # mostly removed: start again
        base, ids = empty, ()
    scan, base_size = base, len(ids)
    new = sorted(row_of.keys() - set(ids))
    for at in range(0, len(new), BATCH):
        batch = new[at : at + BATCH]
        scan, ids = scan.plus(_frames(store, batch)), (*ids, *batch)
        if len(batch) == BATCH:
            base, base_size = scan, len(ids)
    _preloaded[engine] = PreloadedFrames(
        scan=scan,
        base=base,
        base_size=base_size,
        ids=ids,
        rows=np.array([row_of.get(item_id, -1) for item_id in ids], int),
        summaries=summaries,
    )
    return len(summaries.ids)


def _frames(store: Store, ids: list[str]) -> Tokens:
    """Frames without sound, CHUNK items at a time: sound may be a hundred times as large."""
    read = (store.tokens(ids[at : at + CHUNK]) for at in range(0, len(ids), CHUNK))
    found = [(each.frames, each.frame_mask, each.frame_times_s) for each in read]
    longest = max(mask.shape[1] for _, mask, _ in found)

    def joined(part: int) -> np.ndarray:
        arrays = [each[part] for each in found]
        spare = [[(0, 0), (0, longest - x.shape[1]), (0, 0)][: x.ndim] for x in arrays]
        return np.concatenate([np.pad(x, pad) for x, pad in zip(arrays, spare, strict=True)])

    return Tokens(
        frames=joined(0),
        frame_mask=joined(1),
        frame_times_s=joined(2),
        audio=np.zeros((len(ids), 0, 1), np.float32),
        audio_mask=np.zeros((len(ids), 0), bool),
        audio_times_s=np.zeros((len(ids), 0)),
    )


def exact_sight_candidates(
    engine: Engine, store: Store, query: EncodedQuery, *, k: int, where: Filter | None
) -> Candidates | None:
    """The k best items by exact sight score; None unless this snapshot's frames are preloaded."""
    known = _preloaded.get(engine)
    if query.is_example or known is None or known.summaries is not store.summaries():
        return None
    is_here, scores = known.rows >= 0, np.empty(len(known.summaries.ids), np.float32)
    scores[known.rows[is_here]] = known.scan.scores(query.seen)[is_here]
    eligible = np.flatnonzero(store.mask(where) & known.summaries.has_frames)
    if len(eligible) > k > 0:
        kth = np.partition(scores[eligible], len(eligible) - k)[len(eligible) - k]
        eligible = eligible[scores[eligible] >= kth]
    best = eligible[np.argsort(-scores[eligible], kind="stable")[: max(k, 0)]]
    return Candidates(ids=tuple(known.summaries.ids[at] for at in best), scores=scores[best])
