"""A warm text query through `Library.search`, in total and by part, on 10,000 made-up moments.

The engine is `tags`, with its real text tower; moments are clustered tokens of its sizes (8 frames
x 1000, 8 sound tokens x 521, float16) put straight into the store, so that no media are read. Each
query is a new text. Parts are timed inside the search: "explain" reads the tokens of its ten hits
again, "thresholds" compares every tag name with a sample of the moments, "rest" is the remainder.
`--quick`: 1,000 moments.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from _report import arguments, report
from seehear import Library
from seehear.engine.tags import TagsEngine
from seehear.engine.tags_files import TagsFiles, default_folder
from seehear.search import run
from seehear.store import Store
from store import HEARD, SEEN, TOKENS, clustered, make

BATCH, QUERIES, WARM_UP = 500, 200, 10
PARTS = ("encode text", "stage 1", "read tokens", "score", "thresholds", "explain")


def fill(root: Path, engine: TagsEngine, count: int) -> float:
    """A library of `count` moments; returns seconds taken."""
    rng = np.random.default_rng(0)
    seen, heard = (np.abs(clustered(rng, count, dim)) for dim in (SEEN, HEARD))
    noise = np.abs(0.001 * rng.standard_normal((TOKENS, SEEN + HEARD))).astype(np.float16)
    begun = time.perf_counter()
    with Store.create(root, model=engine.manifest, seen_dim=SEEN, heard_dim=HEARD) as store:
        for at in range(0, count, BATCH):
            numbers = range(at, min(at + BATCH, count))
            store.put([make(n, seen[n], heard[n], noise) for n in numbers])
        store.maintain()
    return time.perf_counter() - begun


class Stopwatch:
    """Seconds spent in the parts of one search; a part inside a part counts for the outer one."""

    def __init__(self, library: Library) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._is_inside = False
        for owner, name, part in (
            (run, "encode", "encode text"),
            (run, "stage1_candidates", "stage 1"),
            (library._store, "tokens", "read tokens"),
            (library.engine, "score", "score"),
            (run, "_thresholds", "thresholds"),
            (run, "_reason", "explain"),
        ):
            setattr(owner, name, self._timed(getattr(owner, name), part))

    def _timed(self, call: Callable[..., Any], part: str) -> Callable[..., Any]:
        def timed(*given: Any, **named: Any) -> Any:
            if self._is_inside:
                return call(*given, **named)
            self._is_inside, begun = True, time.perf_counter()
            result = call(*given, **named)
            self.spent[part] += time.perf_counter() - begun
            self._is_inside = False
            return result

        return timed


def search_all(library: Library, texts: list[str]) -> dict[str, list[float]]:
    """Milliseconds of each search, in total and by part."""
    watch, taken = Stopwatch(library), defaultdict[str, list[float]](list)
    for text in texts:
        watch.spent.clear()
        begun = time.perf_counter()
        answer = library.search(text)
        total = time.perf_counter() - begun
        assert len(answer.hits) == 10
        taken["total"].append(1000 * total)
        for part in PARTS:
            taken[part].append(1000 * watch.spent[part])
        taken["rest"].append(1000 * (total - sum(watch.spent.values())))
    return {part: values[WARM_UP:] for part, values in taken.items()}


def main() -> int:
    options = arguments(__doc__ or "")
    count = 1_000 if options.quick else 10_000
    files = TagsFiles(default_folder())
    names = zip(files.sight_names, files.sound_names * 2, strict=False)
    texts = [f"a {seen} and the sound of {heard.lower()}" for seen, heard in names]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "library"
        rows = [
            ("moments", count, ""),
            ("put and maintain", fill(root, TagsEngine(files), count), "s"),
        ]
        with Library.open(root) as library:
            taken = search_all(library, texts[: QUERIES + WARM_UP])
    for part, values in taken.items():
        rows.append((f"{part}, p50", float(np.percentile(values, 50)), "ms"))
        rows.append((f"{part}, p95", float(np.percentile(values, 95)), "ms"))
    report(rows, packages=["seehear", "numpy", "onnxruntime", "pylance"], to=options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
