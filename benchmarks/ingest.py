"""Ingest: decoding against the usual research pipeline, and a complete ingest by stage.

Decoding: see _ingest_decode.py (OpenCV seek per frame plus a second decode for sound; same times,
same rates, separate processes, in turns). Complete: `Library.add` on the shared clips and on a
long 720p film made here, with one worker, so that the stages add up. Floor: decoding at least
twice as fast in wall time over the clips and on the long film.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from _ingest_decode import FLOOR, clips, decode_rows, long_file
from _report import arguments, report


def complete(files: list[Path]) -> dict[str, float]:
    """Run in a separate process: index the files, return stages and peak memory."""
    from seehear import Library

    with (
        tempfile.TemporaryDirectory() as folder,
        Library.create(Path(folder) / "library", engine="tags") as library,
    ):
        done = library.add(files, workers=1)
        size_bytes = library.status().size_bytes
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    stages = {f"{name} s": seconds for name, seconds in done.spent_s.items()}
    return stages | {
        "wall s": done.wall_s,
        "times real time": done.media_s / done.wall_s,
        "items": done.items,
        "peak MB": peak_kb / 1024,
        "library MB per hour of media": size_bytes / 1e6 / (done.media_s / 3600),
    }


def whole_in_a_process(files: list[Path]) -> dict[str, float]:
    command = [sys.executable, __file__, "--complete", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main() -> int:
    if sys.argv[1:2] == ["--complete"]:
        print(json.dumps(complete([Path(name) for name in sys.argv[2:]])))
        return 0
    options = arguments(__doc__ or "")
    seconds = 60 if options.quick else 600
    rows = decode_rows(clips(), long_s=seconds, rounds=1 if options.quick else 2)
    table: list[tuple[str, float, str]] = []
    for row in rows:
        for key, unit in (("wall_s", "s"), ("cpu_s", "s"), ("peak_mb", "MB")):
            what = f"decode {row['name']}, {key.split('_')[0]}"
            table += [
                (f"{what}, ours", float(row[f"ours_{key}"]), unit),
                (f"{what}, usual pipeline", float(row[f"usual_{key}"]), unit),
                (f"{what}, usual / ours", float(row[f"{key}_ratio"]), "x"),
            ]
    for name, files in (
        (f"{len(clips())} clips", clips()),
        (f"720p film of {seconds} s", [long_file(seconds)]),
    ):
        if files:
            figures = whole_in_a_process(files)
            table += [(f"ingest {name}, {what}", figure, "") for what, figure in figures.items()]
    report(
        table, packages=["seehear", "av", "onnxruntime", "opencv-python-headless"], to=options.json
    )
    missed = [row["name"] for row in rows if float(row["wall_s_ratio"]) < FLOOR]
    print("floors: " + (f"missed for {', '.join(map(str, missed))}" if missed else "all held"))
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
