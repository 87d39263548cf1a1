"""Ingest of real clips into a library on S3 by a Ray of this machine, with one core and with two.

    python benchmarks/scale_ingest.py [--clips FOLDER] [--quick] [--json FILE]

Every run has a separate process, Ray and library; all use one S3 server (SeaweedFS) on the same
machine. Each worker loads the engine, and that is part of the time, as for a user. From the costs
of a file and of a commit, 1 to 64 workers are simulated. Floor of the full run: two workers are not
slower.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from _report import arguments, report
from _scale_simulated import Assumed, Row, Service, assumption_rows, speed_ups

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from seaweed import BUCKET, KEYS, Seaweed

SHARED = Path(os.environ.get("SEEHEAR_TEST_DATA", Path(__file__).parents[2] / "shared"))
SOME = 24  # files of a quick run
WORKER = ("decode", "encode", "write")


@dataclass(frozen=True, kw_only=True)
class Ingest:
    """What the simulation needs, and what was measured."""

    file: Service
    commit: Service
    rows: list[Row]
    speed_up: float


def one_run(workers: int, files: list[Path]) -> dict[str, float]:
    """Index files with so many workers."""
    import ray

    from seehear import Library
    from seehear.cluster import on_ray

    ray.init(
        num_cpus=workers,
        include_dashboard=False,
        object_store_memory=200_000_000,
        log_to_driver=False,
    )
    try:
        address = f"s3://{BUCKET}/{workers}-{time.time_ns()}"
        with Library.create(address, engine="tags") as library:
            done = library.add(files, indexer=on_ray("auto"))
    finally:
        ray.shutdown()
    return {
        "wall s": done.wall_s,
        "files": float(done.indexed),
        "worker s": sum(done.spent_s[stage] for stage in WORKER),
        "write s": done.spent_s["write"],
        "store s": done.spent_s["store"],
        "commits": float(done.commits),
    }


def measured_ingest(folder: Path, *, quick: bool) -> Ingest:
    """One worker, then two."""
    with tempfile.TemporaryDirectory() as place:
        server = Seaweed(Path(place) / "s3")
        server.start()
        try:
            server.wait()
            named = {"AWS_ENDPOINT_URL": server.endpoint, "XDG_DATA_HOME": place, **KEYS}
            return _measured(folder, quick, named)
        finally:
            server.stop()


def _measured(folder: Path, quick: bool, named: dict[str, str]) -> Ingest:
    files = sorted(path for path in folder.rglob("*.mp4"))[: SOME if quick else None]
    runs: list[dict[str, float]] = []
    alone_here = (
        os.environ | named | {"RAY_AUTH_MODE": "disabled"}
    )  # else it leaves a token at home
    for workers in (1, 2):
        command = [sys.executable, __file__, "--run", str(workers), *map(str, files)]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, check=True, timeout=900, env=alone_here
        )
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    alone, both = runs
    file_s = alone["worker s"] / alone["files"]
    commit_s = alone["store s"] / max(1.0, alone["commits"])
    speed_up = alone["wall s"] / both["wall s"]
    return Ingest(
        file=Service(p50_s=file_s, p95_s=2 * file_s),
        commit=Service(p50_s=commit_s, p95_s=2 * commit_s),
        speed_up=speed_up,
        rows=[
            ("ingest on Ray, files", alone["files"], ""),
            ("ingest on Ray, 1 worker", alone["wall s"], "s"),
            ("ingest on Ray, 2 workers", both["wall s"], "s"),
            ("ingest on Ray, 2 workers against 1", speed_up, "x"),
            ("ingest on Ray, of a worker per file", file_s, "s"),
            ("ingest on Ray, of that writing", alone["write s"] / alone["files"], "s"),
            ("ingest on Ray, commits", alone["commits"], ""),
            ("ingest on Ray, per commit", commit_s, "s"),
        ],
    )


def main() -> int:
    if sys.argv[1:2] == ["--run"]:
        print(json.dumps(one_run(int(sys.argv[2]), [Path(name) for name in sys.argv[3:]])))
        return 0
    asked = arguments(__doc__ or "", clips="folder of clips to index")
    folder = asked.clips or SHARED / "media"
    if not folder.is_dir():
        print(f"no clips in {folder}; set --clips or SEEHEAR_TEST_DATA")
        return 1
    done = measured_ingest(folder, quick=asked.quick)
    rows = [*done.rows, *assumption_rows(Assumed())]
    rows += speed_ups(done.file, done.commit, Assumed(), 1024 if asked.quick else 8192)
    report(rows, packages=["seehear", "ray"], to=asked.json)
    is_missed = done.speed_up < 1.0 and not asked.quick
    print("floors: " + ("missed: two workers are slower" if is_missed else "all held"))
    return int(is_missed)


if __name__ == "__main__":
    sys.exit(main())
