"""What approximate scoring loses with a TEFAL that was trained: the one of digits-av, `whole`.

    python benchmarks/lab/approximation_digits.py [--quick] [--json FILE] [--runs FOLDER]

The test gallery of digits-av (1,000 clips, one caption each) is scored exactly by the product's
scorer and by its approximations: int8 tokens, sound pooled over frequency, sound merged in time,
candidates by u_v and u_a. Trains the model if it is not in FOLDER (11 minutes). --quick: 10
steps, 300 clips; such a model has learned nothing: only equality with its own scores is checked.
Width 64, 4 frames: no claim about other sizes. Exits 1 when the exact scores are not the model's
own within 1e-5, or int8 keeps less than 99 % of the top ten or changes R@1 by over half a point.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import digits_av
import numpy as np
import torch
from torch.nn.functional import normalize

sys.path.append(str(Path(__file__).parents[1]))
from _report import arguments, report
from seehear.engine.clip_ast_scores import block_weights
from seehear.engine.scoring import (
    PackedTokens,
    fold_weights,
    layer_norm_no_affine,
    pack,
    packed,
    quantise,
)
from seehear.engine.sound_layouts import merged, time_pooled
from seehear_lab.datasets.digits_pairs import DigitGallery
from seehear_lab.evaluate.matrix import prepare, score_matrix
from seehear_lab.evaluate.protocol import Encoded, encode

Row = tuple[str, float, str]
TOP = 10
OWN = "largest difference to the model's own scores"


def best(scores: np.ndarray, count: int) -> np.ndarray:
    return np.argsort(-scores, axis=1, kind="stable")[:, :count]


def kept(found: np.ndarray, wanted: np.ndarray) -> float:
    """Share of each row of `wanted` that is in the same row of `found`, in percent."""
    rows = zip(found.tolist(), wanted.tolist(), strict=True)
    return 100 * float(np.mean([len(set(a) & set(b)) / len(b) for a, b in rows]))


def score_variants(model: Any, encoded: Encoded) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The exact scores, and those of each approximation by name."""
    audio, mask = encoded.items.audio.numpy(), encoded.items.audio_mask.numpy()
    blocks = [fold_weights(block_weights(pool)) for pool in (model.see, model.hear)]
    frames = pack(encoded.items.frames.numpy(), encoded.items.frame_mask.numpy())
    sounds, raw = pack(audio, mask), packed(audio[mask], mask.sum(1))
    longest, pitches = sounds.longest, model.encoder.sound.pitches

    def scored(frames: PackedTokens, sounds: PackedTokens) -> np.ndarray:
        items = prepare(blocks, [frames, sounds], most_tokens=-1)
        return score_matrix(encoded.query.numpy(), items)

    def stored(fewer: PackedTokens) -> PackedTokens:
        """Means of sound tokens as a library stores them: layer-normalised."""
        return packed(layer_norm_no_affine(fewer.values, eps=1e-5), np.diff(fewer.offsets))

    by_pitch = time_pooled(raw, frequencies=pitches)
    in_time = merged(raw, into=longest // 4, frequencies=pitches)
    return scored(frames, sounds), {
        "int8": scored(quantise(frames), quantise(sounds)),
        f"sound pooled, {longest // pitches} of {longest}": scored(frames, stored(by_pitch)),
        f"sound merged, {longest // 4} of {longest}": scored(frames, stored(in_time)),
    }


def stage1_rows(model: Any, encoded: Encoded, wanted: np.ndarray) -> list[Row]:
    """How many of the exact best are among the candidates of stage 1."""
    items, rows = encoded.items, list[Row]()
    with torch.inference_mode():
        summaries = (
            model.see.pool_uniformly(items.frames, items.frame_mask),
            model.hear.pool_uniformly(items.audio, items.audio_mask),
        )
    query = encoded.query.numpy()
    near = [best(query @ normalize(each).numpy().T, 100) for each in summaries]
    for count in (TOP, 50, 100):
        union = np.concatenate([each[:, :count] for each in near], axis=1)
        rows.append((f"u_v and u_a, {count} each: top-{TOP} kept", kept(union, wanted), "%"))
        rows.append((f"u_v alone, {count}: top-{TOP} kept", kept(near[0][:, :count], wanted), "%"))
    return rows


def rows_of(model: Any, gallery: DigitGallery, *, is_trained: bool) -> tuple[list[Row], bool]:
    """All figures, and whether the floors are met."""
    encoded = encode(model, gallery)
    exact, variants = score_variants(model, encoded)
    with torch.inference_mode():
        by_model = model.score(encoded.query, encoded.items).numpy()
    wanted, r1 = best(exact, TOP), right(exact, gallery)
    rows: list[Row] = [
        ("captions and clips", float(len(exact)), ""),
        ("exact: R@1", r1, "%"),
        (OWN, 1e6 * float(np.abs(exact - by_model).max()), "1e-6"),
    ]
    for name, found in variants.items():
        rows.append((f"{name}: top-{TOP} overlap", kept(best(found, TOP), wanted), "%"))
        rows.append((f"{name}: R@1 change", right(found, gallery) - r1, "points"))
    rows += stage1_rows(model, encoded, wanted)
    figures = {what: value for what, value, _ in rows}
    holds = figures[f"int8: top-{TOP} overlap"] >= 99 and abs(figures["int8: R@1 change"]) <= 0.5
    return rows, figures[OWN] < 10 and (holds or not is_trained)


def right(scores: np.ndarray, gallery: DigitGallery) -> float:
    return 100 * float((scores.argmax(1) == np.asarray(gallery.target)).mean())


def main() -> int:
    options = arguments((__doc__ or "").splitlines()[0], runs="folder of training runs")
    with tempfile.TemporaryDirectory() as folder:
        bench = digits_av.Bench(
            fsdd=digits_av.SHARED / "data" / "fsdd",
            cache=Path(options.runs or folder),
            is_quick=options.quick,
        )
        steps = 10 if options.quick else digits_av.STEPS["tefal", "whole"]
        model, _ = bench.train("tefal", "whole", 0, steps)
        gallery = DigitGallery(bench.clips("whole", "test"))
        rows, holds = rows_of(model, gallery, is_trained=not options.quick)
    report(rows, packages=("numpy", "torch", "numba"), to=options.json)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
