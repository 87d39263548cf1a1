"""Sixteen people search one service over 10,000 moments while it indexes films.

    python benchmarks/serve.py [--quick] [--json FILE]

The service is `seehear serve` in a separate process, the engine `tags` with its real text tower;
moments are made up and put straight into the store. Baseline: the same clients before
indexing starts. `--quick`: 1,000 moments, shorter. Exit code 1 when a request fails, when searching
during indexing is more than twice as slow (p50), or when the service needs more than 2 GB.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
import numpy as np

from _ingest_decode import long_file
from _report import arguments, report
from query import fill
from seehear.engine.tags import TagsEngine
from seehear.engine.tags_files import TagsFiles, default_folder

PEOPLE, SLOWER, MOST_MB = 16, 2.0, 2048


def crowd(url: str, texts: list[str], seconds: float) -> tuple[list[float], list[str]]:
    """Milliseconds of every search, and what went wrong; each person asks again at once."""
    taken: list[float] = []
    wrong: list[str] = []
    until = time.monotonic() + seconds

    def person(number: int) -> None:
        with httpx.Client(base_url=url, timeout=60) as client:
            turn = number
            while time.monotonic() < until:
                begun = time.perf_counter()
                ask = {"text": texts[turn % len(texts)], "limit": 10}
                answer = client.post("/api/v1/search", json=ask)
                taken.append(1000 * (time.perf_counter() - begun))
                if answer.status_code != 200 or len(answer.json()["hits"]) != 10:
                    wrong.append(f"{answer.status_code}: {answer.text[:200]}")
                turn += PEOPLE

    people = [threading.Thread(target=person, args=(number,)) for number in range(PEOPLE)]
    for one in people:
        one.start()
    for one in people:
        one.join()
    return taken, wrong


def peak_mb(process: subprocess.Popen[bytes]) -> float:
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmHWM; this benchmark needs Linux")


def started(root: Path) -> tuple[subprocess.Popen[bytes], str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "seehear", "serve", "-l", str(root), "--port", str(port)]
    process, url = subprocess.Popen(command), f"http://127.0.0.1:{port}"
    for _ in range(300):
        try:
            if httpx.get(f"{url}/readyz", timeout=30).status_code == 200:
                return process, url
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError("the service did not start")


def measure(root: Path, films: list[Path], texts: list[str], seconds: float) -> tuple[list, bool]:
    process, url = started(root)
    try:
        crowd(url, texts, 3)  # the first searches load the engine
        idle, wrong = crowd(url, texts, seconds)
        job = httpx.post(
            f"{url}/api/v1/jobs", json={"paths": [str(film) for film in films]}, timeout=30
        ).json()
        busy, more = crowd(url, texts, seconds)
        state = httpx.get(f"{url}/api/v1/jobs/{job['id']}", timeout=30).json()
        memory = peak_mb(process)
    finally:
        process.terminate()
        process.wait(timeout=60)
    for line in (wrong + more)[:3]:
        print(line, file=sys.stderr)
    ratio = float(np.median(busy) / np.median(idle))
    rows = [("searches, idle", len(idle), ""), ("searches, while indexing", len(busy), "")]
    for name, values in (("idle", idle), ("while indexing", busy)):
        rows += [(f"{name}, p{p}", float(np.percentile(values, p)), "ms") for p in (50, 95)]
    rows += [
        ("slower while indexing, p50", ratio, f"x, <= {SLOWER:g}"),
        ("media indexed meanwhile", float(state["done"]), "s"),
        ("failed requests", len(wrong) + len(more), "<= 0"),
        ("peak memory of the service", memory, f"MB, <= {MOST_MB}"),
    ]
    return rows, not (wrong or more) and ratio <= SLOWER and memory <= MOST_MB


def main() -> int:
    options = arguments((__doc__ or "").splitlines()[0])
    count, seconds = (1_000, 8.0) if options.quick else (10_000, 60.0)
    files = TagsFiles(default_folder())
    names = zip(files.sight_names, files.sound_names * 2, strict=False)
    texts = [f"a {seen} and the sound of {heard.lower()}" for seen, heard in names]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "library"
        fill(root, TagsEngine(files), count)
        films = [long_file(length) for length in range(20, 24 if options.quick else 40)]
        rows, fine = measure(root, films, texts, seconds)
    rows = [("moments", count, ""), ("people", PEOPLE, ""), *rows]
    packages = ["seehear", "fastapi", "uvicorn", "onnxruntime", "pylance"]
    report(rows, packages=packages, to=options.json)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
