"""One step of benchmarks/scale.py in a separate process: `STEP ROOT ITEMS`; figures as JSON."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from functools import cache, partial

import numpy as np

from _report import percentiles_ms
from seehear.store import Store
from seehear.store.write import build_ann, maintenance
from seehear.types import EncodedQuery, Item, Tokens, Video
from store import made_video, one_item

SEEN, HEARD, CLUSTERS = 128, 32, 1000
ITEMS_PER_VIDEO, VIDEOS_PER_COMMIT, COMMITS_PER_CLEANING = 10, 512, 64
QUERIES, K = 100, 100
TOKENS, DIM = 133, 512  # 32 frames and 101 seconds of sound, in one byte a number
Figures = dict[str, float]


def cone(rng: np.random.Generator, rows: int, dim: int) -> np.ndarray:
    """Unit vectors in clusters around a common mean."""
    centres = _centres(dim)
    spread = 0.7 * rng.standard_normal((rows, dim))
    vectors = centres[rng.integers(0, CLUSTERS, rows)] + spread
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


@cache
def _centres(dim: int) -> np.ndarray:
    rng = np.random.default_rng(dim)
    return rng.standard_normal((CLUSTERS, dim)) + rng.standard_normal(dim)


def video(number: int, held: list[Tokens]) -> tuple[Video, list[Item]]:
    """A made-up file of so many items; vectors come with the number."""
    rng = np.random.default_rng(number)
    seen, heard = cone(rng, len(held), SEEN), cone(rng, len(held), HEARD)
    made = made_video(number, items=len(held), seconds=16.0 * len(held))
    return made, [
        Item(
            id=f"{made.id}-{place:04}",
            video_id=made.id,
            start_s=16.0 * place,
            end_s=16.0 * (place + 1),
            sound="sound",
            seen=seen[place],
            heard=heard[place],
            tokens=held[place],
        )
        for place in range(len(held))
    ]


def calibration_queries() -> EncodedQuery:
    """Queries of the same cones, none of them an item."""
    rng = np.random.default_rng(2**31)
    seen, heard = (cone(rng, QUERIES, dim).astype(np.float32) for dim in (SEEN, HEARD))
    return EncodedQuery(seen=seen, heard=heard, audio_weight=np.full(QUERIES, 0.5, np.float32))


def fill(root: str, items: int) -> Figures:
    """All items in through the product's own writer, one short token sequence each."""
    model = {"engine": "made-up", "fingerprint": "0" * 64}
    short = one_item(np.zeros((1, 8), np.int8), np.zeros((1, 8), np.int8))
    count = items // ITEMS_PER_VIDEO
    spent = {"insert s": 0.0, "maintenance s": 0.0}
    maintenance.KEEP_VERSIONS = timedelta(0)  # as if an hour had passed
    with Store.create(root, model=model, seen_dim=SEEN, heard_dim=HEARD) as store:
        for commit, first in enumerate(range(0, count, VIDEOS_PER_COMMIT), start=1):
            numbers = range(first, min(first + VIDEOS_PER_COMMIT, count))
            batch = [video(number, [short] * ITEMS_PER_VIDEO) for number in numbers]
            spent["insert s"] += seconds(partial(store.put, batch))
            if commit % COMMITS_PER_CLEANING == 0 or numbers.stop == count:
                spent["maintenance s"] += seconds(store.maintain)
        return spent | {"bytes": float(store.size_bytes())}


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def build(root: str, items: int) -> Figures:
    """The index, tried on the queries; with the product's threshold lowered to these items."""
    build_ann.MIN_ITEMS = min(build_ann.MIN_ITEMS, items // 2)
    with Store.open(root, write=True) as store:
        before = store.size_bytes()
        begun = time.perf_counter()
        said = store.maintain(calibration_queries)
        spent = time.perf_counter() - begun
        tried = store.snapshot.catalog[f"index emb__{'0' * 12}"]
        print(*said, sep="\n", file=sys.stderr)
        return {
            "index build s": spent,
            "index bytes": float(store.size_bytes() - before),
            "recall seen": tried["seen"][1],
            "recall heard": tried["heard"][1],
        }


def search(root: str, items: int) -> Figures:
    """A fresh process to its first answer, then queries."""
    queries = calibration_queries().seen
    begun = time.perf_counter()
    with Store.open(root) as store:
        store.nearest("seen", queries[0], k=K)
        opened = time.perf_counter() - begun
        p50, p95 = percentiles_ms(lambda i: store.nearest("seen", queries[i], k=K), QUERIES)
    return {"open s": opened, "query p50 ms": p50, "query p95 ms": p95}


def read(root: str, items: int) -> Figures:
    """Tokens of 100 candidates, in the default layout, from a library of so many items."""
    rng = np.random.default_rng(0)
    parts = [rng.integers(-127, 128, (rows, DIM), np.int8) for rows in (32, TOKENS - 32)]
    model = {"engine": "made-up", "fingerprint": "1" * 64}
    with Store.create(root, model=model, seen_dim=SEEN, heard_dim=HEARD) as store:
        for first in range(0, items, 64):
            store.put([video(n, [one_item(*parts)]) for n in range(first, min(first + 64, items))])
        ids = np.array(store.ids())
        chosen = [rng.choice(ids, K, replace=False).tolist() for _ in range(20)]
        p50, p95 = percentiles_ms(lambda i: store.tokens(chosen[i]), len(chosen))
    return {"tokens p50 ms": p50, "tokens p95 ms": p95, "token bytes": float(TOKENS * (DIM + 4))}


def main() -> None:
    step, root, items = sys.argv[1:]
    figures = {"fill": fill, "build": build, "search": search, "read": read}[step](root, int(items))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(figures | {"peak MB": peak}))


if __name__ == "__main__":
    main()
