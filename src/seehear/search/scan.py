"""Stage 1 for sight made exact: where frames are held in memory, all of them are scored."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from jaxtyping import Int

from seehear.engine import Engine
from seehear.engine.protocol import Scan
from seehear.store import Store, Summaries
from seehear.types import Candidates, EncodedQuery, Filter, Tokens

MOST = 100_000  # items; beyond it neither memory nor time speaks for a scan of all
BATCH = 2048  # items that are scored in one go
CHUNK = 16  # items whose tokens are read at once


@dataclass(frozen=True, kw_only=True, eq=False)
class Held:
    """A scan and where its items lie in a library; valid for one state of it.

    `base` is the scan of its whole batches alone, of the first `based` items: what comes later goes
    on from there, so that many small additions do not leave as many small batches.
    """

    scan: Scan
    base: Scan
    based: int
    ids: tuple[str, ...]  # in the scan's order
    rows: Int[np.ndarray, " held"]  # their places in the library, -1 for those taken out
    summaries: Summaries


_held: WeakKeyDictionary[Engine, Held] = WeakKeyDictionary()


def warm(engine: Engine, store: Store) -> int:
    """Hold the frames of all items in memory; how many items are held.

    Of what was held before, less than a batch is read again. 0 for an engine whose first stage
    needs no scan, and for more than MOST items.
    """
    empty = engine.scan()
    if empty is None or store.counts()["items"] > MOST:
        _held.pop(engine, None)
        return 0
    summaries = store.summaries()
    known = _held.get(engine)
    if known and known.summaries is summaries:
        return len(summaries.ids)
    places = {item_id: row for row, item_id in enumerate(summaries.ids)}
    base, ids = (known.base, known.ids[: known.based]) if known else (empty, ())
    if sum(item_id in places for item_id in ids) < len(ids) / 2:  # the rest is only in the way
        base, ids = empty, ()
    scan, based = base, len(ids)
    new = sorted(places.keys() - set(ids))
    for at in range(0, len(new), BATCH):
        batch = new[at : at + BATCH]
        scan, ids = scan.plus(_frames(store, batch)), (*ids, *batch)
        if len(batch) == BATCH:
            base, based = scan, len(ids)
    rows = np.array([places.get(item_id, -1) for item_id in ids], int)
    _held[engine] = Held(scan=scan, base=base, based=based, ids=ids, rows=rows, summaries=summaries)
    return len(summaries.ids)


def _frames(store: Store, ids: list[str]) -> Tokens:
    """Frames without sound, a few items at a time: their sound may be a hundred times as much."""
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


def seen_best(
    engine: Engine, store: Store, query: EncodedQuery, *, k: int, where: Filter | None
) -> Candidates | None:
    """The k best seen items, exactly; None unless `warm` holds the library as it is now."""
    held = _held.get(engine)
    if query.is_example or held is None or held.summaries is not store.summaries():
        return None
    is_here, scores = held.rows >= 0, np.empty(len(held.summaries.ids), np.float32)
    scores[held.rows[is_here]] = held.scan.scores(query.seen)[is_here]
    eligible = np.flatnonzero(store.mask(where) & held.summaries.has_frames)
    if len(eligible) > k > 0:
        kth = np.partition(scores[eligible], len(eligible) - k)[len(eligible) - k]
        eligible = eligible[scores[eligible] >= kth]
    best = eligible[np.argsort(-scores[eligible], kind="stable")[: max(k, 0)]]
    return Candidates(ids=tuple(held.summaries.ids[at] for at in best), scores=scores[best])
