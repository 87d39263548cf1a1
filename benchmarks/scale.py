"""How a library grows: measured to a million items, simulated from there to a billion.

    python benchmarks/scale.py [--quick] [--json FILE] [--clips FOLDER]

Measured: made-up items (vectors in cones, 10 items a file, short tokens) through the product's own
store, each step in a separate process; growth as the exponent of a fitted power of the number of
items. Ingest of real clips on Ray with one worker and with two (see scale_ingest.py), if a folder
of clips is given. Simulated: see _scale_simulated.py; a shard's search is taken to grow in
proportion from the largest measured size on, which is more than was measured.

Floors: recall@100 of the index at least 0.95; insertion and bytes grow no faster than the 1.15th
power; and in the full run the index answers a million sooner than the exact search does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from _report import arguments, report
from _scale_measured import Figures
from _scale_simulated import Assumed, Row, Service, assumption_rows, queries, speed_ups
from scale_ingest import measured_ingest

RECALL, POWER = 0.95, 1.15
GROWING = {
    "insert s": "insertion",
    "maintenance s": "maintenance",
    "bytes": "bytes",
    "index build s": "index build",
    "exact query p50 ms": "exact query",
    "indexed query p50 ms": "indexed query",
    "exact peak MB": "memory, exact",
    "indexed peak MB": "memory, indexed",
    "exact open s": "opening",
}


def step(name: str, root: Path, items: int) -> Figures:
    """Figures of one step, from its own process."""
    script = Path(__file__).with_name("_scale_measured.py")
    command = [sys.executable, str(script), name, str(root), str(items)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measured(items: int) -> Figures:
    """Everything about a library of so many items."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "library"
        filled = step("fill", root, items)
        exact = step("search", root, items)
        built = step("build", root, items)
        indexed = step("search", root, items)
    return {
        **{name: figure for name, figure in filled.items() if name != "peak MB"},
        **{name: figure for name, figure in built.items() if name != "peak MB"},
        "build peak MB": built["peak MB"],
        **{f"exact {name}": figure for name, figure in exact.items()},
        **{f"indexed {name}": figure for name, figure in indexed.items()},
    }


def powers(sizes: list[int], figures: list[Figures]) -> dict[str, float]:
    """The exponent of growth of each figure, fitted over all sizes."""
    return {
        what: float(np.polyfit(np.log(sizes), np.log([each[key] for each in figures]), 1)[0])
        for key, what in GROWING.items()
    }


def simulated(biggest: int, figures: Figures, read: Figures, quick: bool) -> list[Row]:
    """Clusters whose shards hold 12 to 16 million items each; a query has two lists."""
    rows: list[Row] = []
    for items, shards in ((1e8, 8), (1e9, 64)):
        growth = items / shards / biggest
        two_lists = 2 * figures["indexed query p50 ms"] * growth
        late = 2 * figures["indexed query p95 ms"] * growth
        service = Service(
            p50_s=(two_lists + read["tokens p50 ms"]) / 1000,
            p95_s=(late + read["tokens p95 ms"]) / 1000,
        )
        name = f"simulated {items:.0e}"
        rows.append((f"{name}, one shard's part, extrapolated p50", 1000 * service.p50_s, "ms"))
        rows += queries(items, shards, service, Assumed(), 500 if quick else 5000)
    return rows


def main() -> int:
    asked = arguments(__doc__ or "", clips="real clips to index on Ray; else left out")
    sizes = [2_000, 10_000, 50_000] if asked.quick else [10_000, 100_000, 1_000_000]
    figures = [measured(items) for items in sizes]
    rows: list[Row] = [
        (f"{items:,} items, {name}", figure, "")
        for items, each in zip(sizes, figures, strict=True)
        for name, figure in each.items()
    ]
    grown = powers(sizes, figures)
    rows += [(f"growth, {what}", power, "th power") for what, power in grown.items()]
    with tempfile.TemporaryDirectory() as folder:
        read = step("read", Path(folder) / "library", 500 if asked.quick else 2_000)
    rows += [(f"{name} of 100 candidates", figure, "") for name, figure in read.items()]
    rows += assumption_rows(Assumed())
    rows += simulated(sizes[-1], figures[-1], read, asked.quick)
    if asked.clips:
        ingest = measured_ingest(asked.clips, quick=asked.quick)
        rows += ingest.rows
        rows += speed_ups(ingest.file, ingest.commit, Assumed(), 1024 if asked.quick else 8192)
    report(rows, packages=["seehear", "pylance", "numpy", "simpy", "ray"], to=asked.json)
    return check_floors(figures[-1], grown, asked.quick)


def check_floors(biggest: Figures, grown: dict[str, float], quick: bool) -> int:
    """Print the missed floors; return 1 if there are any."""
    floors = {
        "recall": min(biggest["recall seen"], biggest["recall heard"]) >= RECALL,
        "insertion grows in proportion": grown["insertion"] <= POWER,
        "bytes grow in proportion": grown["bytes"] <= POWER,
        "the index is quicker": quick
        or biggest["indexed query p50 ms"] < biggest["exact query p50 ms"],
    }
    missed = [what for what, is_held in floors.items() if not is_held]
    print("floors: " + (f"missed: {', '.join(missed)}" if missed else "all held"))
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
