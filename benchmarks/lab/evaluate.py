"""A complete TEFAL evaluation, folded and in blocks, against the reference form: all pairs at once.

Random tokens of the published sizes (12 frames, 101 or 1,212 sound tokens, 512 dimensions; items in
half precision), a separate process for each figure, so that peak memory is measured per figure.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

sys.path.append(str(Path(__file__).parents[1]))
from _report import arguments, report
from seehear.models import build_model
from seehear.nn.tokens import TokenBatch
from seehear_lab.evaluate.protocol import Encoded, score_all

FRAMES, DIM = 12, 512


def gallery(count: int, sounds: int) -> Encoded:
    torch.manual_seed(0)
    return Encoded(
        query=torch.randn(count, DIM),
        items=TokenBatch(
            frames=torch.randn(count, FRAMES, DIM, dtype=torch.float16),
            frame_mask=torch.ones(count, FRAMES, dtype=torch.bool),
            audio=torch.randn(count, sounds, DIM, dtype=torch.float16),
            audio_mask=(torch.arange(count) % 10 > 0)[:, None].expand(count, sounds),
        ),
    )


def measure(form: str, count: int, sounds: int, out: Connection) -> None:
    """Seconds, peak MiB above what importing and the tokens take, and the scores of ten queries."""
    torch.set_num_threads(2)
    model, encoded = build_model("tefal.xpool").eval(), gallery(count, sounds)
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if form == "blocks":
        score_all(model, gallery(2, sounds))  # loads the compiled loops
    begun = perf_counter()
    if form == "blocks":
        scores = score_all(model, encoded)
    else:
        items = encoded.items
        whole = TokenBatch(
            **(vars(items) | {"frames": items.frames.float(), "audio": items.audio.float()})
        )
        with torch.inference_mode():
            scores = model.score(encoded.query, whole).numpy()
    seconds = perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    out.send((seconds, (peak - held) / 1024, scores[:10]))


def alone(form: str, count: int, sounds: int) -> tuple[float, float, np.ndarray]:
    """One measurement in a fresh process."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=measure, args=(form, count, sounds, there))
    process.start()
    there.close()
    found = here.recv()
    process.join()
    return found


def main() -> int:
    options = arguments(__doc__ or "")
    rows: list[tuple[str, float, str]] = []
    is_good = True
    for sounds in (101, 1212):
        both = 100 if options.quick else 150  # the reference form takes gigabytes above
        named = {}
        for form in ("blocks", "reference"):
            seconds, peak, scores = alone(form, both, sounds)
            named[form] = (seconds, scores)
            rows.append((f"{both} x {both}, {sounds} sound tokens, {form}", seconds, "s"))
            rows.append((f"{both} x {both}, {sounds} sound tokens, {form}, memory", peak, "MiB"))
        faster = named["reference"][0] / named["blocks"][0]
        rows.append((f"{both} x {both}, {sounds} sound tokens, blocks faster", faster, "x"))
        away = float(np.abs(named["blocks"][1] - named["reference"][1]).max())
        rows.append((f"{sounds} sound tokens, largest difference", 1e6 * away, "millionths"))
        is_good &= away < 1e-5
        if not options.quick:
            seconds, peak, _ = alone("blocks", 1000, sounds)
            rows.append((f"1000 x 1000, {sounds} sound tokens, blocks", seconds, "s"))
            rows.append((f"1000 x 1000, {sounds} sound tokens, blocks, memory", peak, "MiB"))
            is_good &= peak < 1024
    report(rows, packages=["torch"], to=options.json)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
