"""What every benchmark shares: arguments, a table on paper, figures in a file."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np


def arguments(about: str, **folders: str) -> argparse.Namespace:
    """`--quick` for a run under a minute, `--json FILE` to keep the figures, folders by name."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--quick", action="store_true", help="a smaller run, under a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    for name, meaning in folders.items():
        parser.add_argument(f"--{name}", type=Path, metavar="FOLDER", help=meaning)
    return parser.parse_args()


def percentiles_ms(call: Callable[[int], object], times: int) -> tuple[float, float]:
    """Median and 95th percentile of `call(0)`, `call(1)`, ... in milliseconds."""
    taken: list[float] = []
    for turn in range(times):
        begun = time.perf_counter()
        call(turn)
        taken.append(1000 * (time.perf_counter() - begun))
    return float(np.percentile(taken, 50)), float(np.percentile(taken, 95))


def report(
    rows: Sequence[tuple[str, float, str]], *, packages: Sequence[str], to: Path | None
) -> None:
    """Print rows of (what, figure, unit) as one table; keep them with versions and machine."""
    widest = max(len(what) for what, _, _ in rows)
    for what, figure, unit in rows:
        print(f"{what:<{widest}}  {figure:>12,.2f}  {unit}")
    about = {
        "versions": {name: version(name) for name in packages}
        | {"python": platform.python_version()},
        "machine": {"platform": platform.platform(), "cores": os.cpu_count()},
    }
    print(json.dumps(about))
    if to:
        figures = [{"what": what, "figure": figure, "unit": unit} for what, figure, unit in rows]
        to.write_text(json.dumps({"figures": figures, **about}, indent=1) + "\n")
