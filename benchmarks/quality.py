"""Does hearing help? Retrieval quality of the `tags` engine on the shared clips.

Captions and queries against all clips: by sight, by sound, by their plain sum, and gated by the
text as searches do; on real clips alone; and with the sounds shuffled between clips as a control.
A clip cut into several moments counts with its best one. Ties (clips with the same pictures) count
as if broken at random.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from _report import arguments, report
from seehear import Library
from seehear.engine import Engine
from seehear.search.calibration import fill_absent
from seehear.types import EncodedQuery, Tokens

ROOT = Path(__file__).resolve().parents[1]
MEDIA = Path(os.environ.get("SEEHEAR_TEST_DATA", ROOT.parent / "shared")) / "media"
ABSENT = (
    "a submarine under the ice", "snowboarder doing a trick", "pizza in an oven",
    "typing on a keyboard", "a helicopter taking off", "a baby crying", "church bells ringing",
    "thunder and heavy rain", "a chainsaw cutting wood", "people playing football",
    "a violin concerto", "a train passing", "ocean waves on a beach", "fireworks at night",
    "a man cooking pasta", "a cat purring on a laptop", "police siren", "a wedding dance",
    "skateboarding", "an airplane landing", "surfing a big wave", "a waterfall",
    "a glass breaking", "someone snoring", "applause after a speech", "a phone ringing",
    "washing dishes", "basketball game", "a snake in the grass", "penguins on ice",
    "a volcano erupting", "a vacuum cleaner", "an electric guitar solo", "a motorbike race",
    "bowling", "a doorbell", "tennis match", "hammering a nail", "a crowded supermarket",
    "a ship horn",
)  # fmt: skip
WAYS = {"sight": 0.0, "sound": 1.0, "sum": 0.5, "gated": None}
FLOORS = (
    ("captions, gated, R@1", 50.0),
    ("captions, gated, R@10", 85.0),
    ("needs sound, R@1 gained by adding sound (sum - sight)", 10.0),
)
CONTROL_MARGIN = 2.0  # the shuffled control may not beat sight alone by more


def recall(scores: np.ndarray, own: np.ndarray, k: int) -> np.ndarray:
    """Chance of each query's own clip to be among the first k when ties are broken at random."""
    mine = scores[np.arange(len(own)), own][:, None]
    above, tied = (scores > mine).sum(1), (scores == mine).sum(1)
    return np.clip((k - above) / tied, 0, 1)


def ranks(scores: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Rank of each query's own clip, from 1; ties count as their middle."""
    mine = scores[np.arange(len(own)), own][:, None]
    return 1 + (scores > mine).sum(1) + ((scores == mine).sum(1) - 1) / 2


def score_clips(
    engine: Engine, query: EncodedQuery, tokens: Tokens, clip_of: np.ndarray, share: float | None
) -> np.ndarray:
    """scores[query, clip], the best moment of each clip."""
    if share is not None:
        query = replace(query, audio_weight=np.full_like(query.audio_weight, share))
    parts = engine.score(query, tokens)
    filled = fill_absent(parts, parts)
    items = filled.seen + filled.heard
    clips = range(clip_of.max() + 1)
    return np.stack([items[:, clip_of == clip].max(1) for clip in clips], axis=1)


def shuffled(tokens: Tokens, rng: np.random.Generator) -> Tokens:
    """The same pictures with the sounds of other items."""
    order = rng.permutation(len(tokens.audio))
    return replace(tokens, audio=tokens.audio[order], audio_mask=tokens.audio_mask[order])


def encode(engine: Engine, texts: list[str]) -> EncodedQuery:
    queries = [engine.encode_text(text) for text in texts]
    return EncodedQuery(
        seen=np.concatenate([q.seen for q in queries]),
        heard=np.concatenate([q.heard for q in queries]),
        audio_weight=np.concatenate([q.audio_weight for q in queries]),
    )


def gain(better: np.ndarray, base: np.ndarray, rng: np.random.Generator) -> tuple[float, ...]:
    """Points of recall gained, and their 95 % interval by paired bootstrap."""
    change = 100 * (better - base)
    picks = rng.integers(0, len(change), (5000, len(change)))
    low, high = np.percentile(change[picks].mean(1), [2.5, 97.5])
    return float(change.mean()), float(low), float(high)


def questions(rows: list[dict[str, Any]]) -> dict[str, list[tuple[str, int]]]:
    asked = {"captions": [(row["caption"], i) for i, row in enumerate(rows)]}
    for need in ("sound", "sight", "both"):
        asked[f"needs {need}"] = [
            (query["text"], i)
            for i, row in enumerate(rows)
            for query in row["queries"]
            if query["needs"] == need
        ]
    asked["captions of real clips"] = [
        (row["caption"], i) for i, row in enumerate(rows) if row["kind"] == "real"
    ]
    return asked


def measure(library: Library, rows: list[dict[str, Any]], shuffles: int) -> list[Any]:
    engine, rng = library.engine, np.random.default_rng(0)
    place = {str((MEDIA / row["file"]).resolve()): i for i, row in enumerate(rows)}
    files = {v.id: place[str(Path(v.path).resolve())] for v in library.videos()}
    ids = sorted(item.id for item in library.items())
    clip_of = np.array([files[item_id[:32]] for item_id in ids])
    tokens = library.tokens(ids)
    table: list[tuple[str, float, str]] = []
    for name, pairs in questions(rows).items():
        query = encode(engine, [text for text, _ in pairs])
        own = np.array([clip for _, clip in pairs])
        scores = {
            way: score_clips(engine, query, tokens, clip_of, share) for way, share in WAYS.items()
        }
        first = {way: recall(values, own, 1) for way, values in scores.items()}
        for way, values in scores.items():
            table += [
                (f"{name}, {way}, R@1", 100 * float(first[way].mean()), f"% of {len(own)}"),
                (f"{name}, {way}, R@10", 100 * float(recall(values, own, 10).mean()), "%"),
                (f"{name}, {way}, MdR", float(np.median(ranks(values, own))), "rank"),
            ]
        for way in ("sum", "gated"):
            mean, low, high = gain(first[way], first["sight"], rng)
            what = f"{name}, R@1 gained by adding sound ({way} - sight)"
            table.append((what, mean, f"points, 95 % [{low:.1f}, {high:.1f}]"))
        if name == "captions":
            control = np.mean(
                [
                    recall(score_clips(engine, query, mixed, clip_of, None), own, 1).mean()
                    for mixed in (shuffled(tokens, rng) for _ in range(shuffles))
                ]
            )
            over = 100 * float(control - first["sight"].mean())
            table += [
                (f"captions, sounds shuffled {shuffles} times, R@1", 100 * float(control), "%"),
                ("captions, shuffled control - sight, R@1", over, "points"),
            ]
    return table


def measure_confidence(
    library: Library, rows: list[dict[str, Any]]
) -> list[tuple[str, float, str]]:
    """How often a right first hit is called fair or strong, and an absent thing weak."""
    first = [
        (library.search(query["text"], limit=1).hits[0], row["file"])
        for row in rows
        for query in row["queries"]
    ]
    right = [hit.confidence != "weak" for hit, file in first if hit.path.endswith(file)]
    absent = [library.search(text, limit=1).hits[0].confidence == "weak" for text in ABSENT]
    return [
        ("right first hits called fair or strong", float(sum(right)), f"of {len(right)}"),
        ("queries about absent things called weak", float(sum(absent)), f"of {len(absent)}"),
    ]


def main() -> int:
    options = arguments(__doc__ or "")
    if not MEDIA.is_dir():
        print(f"no clips in {MEDIA}; set SEEHEAR_TEST_DATA")
        return 1
    rows = [json.loads(line) for line in (MEDIA / "captions.jsonl").read_text().splitlines()]
    with (
        tempfile.TemporaryDirectory() as folder,
        Library.create(Path(folder) / "library", engine="tags") as library,
    ):
        library.add([MEDIA])
        table = measure(library, rows, shuffles=10 if options.quick else 50)
        table += measure_confidence(library, rows)
    report(table, packages=["seehear", "numpy", "onnxruntime", "av"], to=options.json)
    figures = {what: figure for what, figure, _ in table}
    missed = [
        f"{name} {figures[name]:.1f} < {floor}" for name, floor in FLOORS if figures[name] < floor
    ]
    over = figures["captions, shuffled control - sight, R@1"]
    if over > CONTROL_MARGIN:
        missed.append(f"the shuffled control beats sight by {over:.1f} points")
    print("floors: " + ("; ".join(missed) if missed else "all held"))
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
