"""Where the constants of the `tags` engine come from: fitted on data outside the test clips.

- gate: logistic fit that separates the names of sound tags from those of picture tags, each name
  scored without its own tag (text alone);
- sound temperature: mAP of the ten class names over the 400 sounds of ESC-10; sound floor: 95th
  percentile of the expected presence over pairs that do not match there;
- sight temperature: mean reciprocal rank of 480 descriptions over their pictures in the Debian
  package tuxpaint-stamps-default (`--stamps FOLDER`, unpacked), less those in the test clips.

`--quick` fits the gate alone. Exits 1 when a constant in the engine is not the fitted one.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from _report import arguments, report
from seehear.encoders import yamnet
from seehear.engine import tags
from seehear.engine.tags import TagsEngine
from seehear.engine.tags_files import TagsFiles, default_folder
from seehear.media import read_any, read_picture
from seehear.types import Clip

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("SEEHEAR_TEST_DATA", ROOT.parent / "shared"))
GRID = (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08)
NOT_PICTURES = ("symbols", "sign", "letters", "flags", "dreidel")


def softmax(logits: np.ndarray) -> np.ndarray:
    exponent = np.exp(logits - logits.max(1, keepdims=True))
    return exponent / exponent.sum(1, keepdims=True)


def fit_gate(names: dict[str, np.ndarray]) -> tuple[float, float]:
    """(temperature, offset) of the likeliest gate, both kinds of name weighing the same."""
    bank, is_heard = names["bank"], np.arange(1521) >= 1000
    sight, sound = bank @ names["sight"].T, bank @ names["sound"].T
    own = np.arange(1521)
    sight[own[~is_heard], own[~is_heard]] = -1
    sound[own[is_heard], own[is_heard] - 1000] = -1
    margin = sound.max(1) - sight.max(1)
    weight = np.where(is_heard, 0.5 / is_heard.sum(), 0.5 / (~is_heard).sum())
    sign = np.where(is_heard, 1, -1)

    def likelihood(temperature: float, offset: float) -> float:
        return -float(weight @ np.log1p(np.exp(-sign * (margin - offset) / temperature)))

    grid = [(t, o) for t in np.arange(0.02, 0.4, 0.01) for o in np.arange(-0.3, 0.3, 0.01)]
    temperature, offset = max(grid, key=lambda pair: likelihood(*pair))
    return round(float(temperature), 2), round(float(offset), 2)


def fit_sound(engine: TagsEngine, names: dict[str, np.ndarray]) -> tuple[float, float]:
    """(temperature, floor) on ESC-10."""
    heard, labels = [], []
    for path in sorted((SHARED / "data" / "esc10").glob("*/*.ogg")):
        tokens = engine.encode_clip(read_any(path, engine.media))
        heard.append(engine.summary(tokens).audio[0, 0])
        labels.append(path.parent.name.partition(" - ")[2].lower())
    presence, label = np.stack(heard), np.array(labels)
    classes = sorted(set(labels))
    similar = engine._text.encode(classes) @ names["sound"].T

    def mean_precision(temperature: float) -> float:
        scores = softmax(similar / temperature) @ presence.T
        precisions = []
        for row, name in zip(scores, classes, strict=True):
            relevant = label[np.argsort(-row, kind="stable")] == name
            precision = np.cumsum(relevant) / np.arange(1, len(relevant) + 1)
            precisions.append(precision[relevant].mean())
        return float(np.mean(precisions))

    for temperature in GRID:
        print(f"  sound temperature {temperature:.2f}: mAP {100 * mean_precision(temperature):.2f}")
    best = max(GRID, key=mean_precision)
    evidence = softmax(similar / best) @ presence.T
    mismatched = evidence[np.array(classes)[:, None] != label]
    return best, float(np.percentile(mismatched, 95))


def fit_sight(engine: TagsEngine, names: dict[str, np.ndarray], stamps: Path) -> float:
    """Temperature on described pictures."""
    used = {path.stem.removeprefix("stamp_") for path in (SHARED / "media").glob("pairs/stamp_*")}
    seen, texts = [], []
    for text in sorted(stamps.rglob("*.txt")):
        image = next((p for s in (".png", ".jpg") if (p := text.with_suffix(s)).exists()), None)
        if image is None or text.stem in used or any(part in str(text) for part in NOT_PICTURES):
            continue
        frame = padded(read_picture(image, engine.media))
        clip = Clip(
            path="",
            start_s=0,
            end_s=1,
            frames=frame[None],
            frame_times_s=np.zeros(1),
            waveform=np.zeros(0, np.float32),
            sample_rate_hz=yamnet.SAMPLE_RATE_HZ,
            sound="none",
        )
        seen.append(engine.encode_clip(clip).frames[0, 0].astype(np.float32))
        texts.append(text.read_text(errors="replace").splitlines()[0].strip())
    presence, similar = np.stack(seen), engine._text.encode(texts) @ names["sight"].T

    def reciprocal_rank(temperature: float) -> float:
        scores = softmax(similar / temperature) @ presence.T
        return float((1 / (scores >= np.diag(scores)[:, None]).sum(1)).mean())

    for temperature in GRID:
        value = reciprocal_rank(temperature)
        print(f"  sight temperature {temperature:.2f}: MRR {value:.3f} over {len(texts)}")
    return max(GRID, key=reciprocal_rank)


def padded(frame: np.ndarray) -> np.ndarray:
    """The entire picture on a white square, so that the centre crop cuts nothing off."""
    height, width, _ = frame.shape
    side = max(height, width)
    square = np.full((side, side, 3), 255, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = frame
    step = np.linspace(0, side - 1, 260).round().astype(int)
    return square[step][:, step]


def main() -> int:
    options = arguments(__doc__ or "", stamps="folder of the unpacked tuxpaint-stamps-default")
    engine = TagsEngine(TagsFiles(default_folder()))
    names = engine._names
    gate_temperature, gate_offset = fit_gate(names)
    rows = [
        ("gate temperature", gate_temperature, tags.GATE_TEMPERATURE),
        ("gate offset", gate_offset, tags.GATE_OFFSET),
    ]
    if (SHARED / "data" / "esc10").is_dir() and not options.quick:
        temperature, floor = fit_sound(engine, names)
        rows.append(("sound temperature", temperature, tags.SOUND_TEMPERATURE))
        rows.append(("sound floor", round(floor, 2), tags.SOUND_FLOOR))
    if options.stamps:
        temperature = fit_sight(engine, names, options.stamps)
        rows.append(("sight temperature", temperature, tags.SIGHT_TEMPERATURE))
    report(
        [(f"{name}, engine uses {used}", fitted, "fitted") for name, fitted, used in rows],
        packages=["seehear", "numpy", "onnxruntime"],
        to=options.json,
    )
    return any(abs(fitted - used) > 0.005 for _, fitted, used in rows)


if __name__ == "__main__":
    sys.exit(main())
