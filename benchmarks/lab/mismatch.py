"""Does AVMA's degree of match separate right from wrong sounds? On a few real recordings.

    python benchmarks/lab/mismatch.py [--quick] [--json FILE] [--media FOLDER]

Trained: `avma`, its associative loss alone, on tokens of the engine `tags` (names of what is seen
and heard) of the composed pairs, less the photographs that the contrast clips show.
Asked: the same two photographs with their own sound, a wrong animal, music, and silence. 5 seeds.
Exit code 1 unless the own sound fits better than the wrong one in the mean of all seeds.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

sys.path.append(str(Path(__file__).parents[1]))
from _report import arguments, report
from seehear.engine.tags import TagsEngine
from seehear.engine.tags_files import TagsFiles, default_folder
from seehear.media import read_any
from seehear.models import build_model
from seehear.nn.tokens import TokenBatch
from seehear.store.tables.codec import pack, pad, unpack
from seehear_lab.losses import associative_loss

SHARED = Path(os.environ.get("SEEHEAR_TEST_DATA", Path(__file__).parents[3] / "shared"))
HELD_OUT = ("farm_dog.mp4", "farm_horse.mp4")
CASES = {
    "own sound": ("pairs/farm_dog.mp4", "pairs/farm_horse.mp4"),
    "wrong animal": ("contrast/dog__wrong.mp4", "contrast/horse__wrong.mp4"),
    "music": ("contrast/dog__music.mp4", "contrast/horse__music.mp4"),
    "silence": ("contrast/dog__silent.mp4", "contrast/horse__silent.mp4"),
}
SMALL = {"hidden": 128, "wide": 256, "layers": 2, "heads": 4, "slots": 50, "projection": 64}


def tokens(engine: TagsEngine, paths: list[Path]) -> TokenBatch:
    """What the engine would store of each file, as a batch; logarithms of shares spread out."""
    packed = [pack(engine.encode_clip(read_any(path, engine.media)), "x") for path in paths]
    batch = TokenBatch.from_tokens(pad([unpack(one, "x") for one in packed]))
    return TokenBatch(
        frames=torch.log(batch.frames.clamp(min=1e-4)) + 9.2,
        frame_mask=batch.frame_mask,
        audio=torch.log(batch.audio.clamp(min=1e-4)) + 9.2,
        audio_mask=batch.audio_mask,
    )


def trained(items: TokenBatch, seed: int, steps: int) -> torch.nn.Module:
    """AVMA taught which sound belongs to which sight; half of the tokens hidden each time."""
    torch.manual_seed(seed)
    sizes = {"dim": items.frames.shape[2], "sound_dim": items.audio.shape[2]}
    model = build_model("avma", **SMALL, **sizes)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    for _ in range(steps):
        frame_mask, audio_mask = (
            mask & ((torch.rand(mask.shape) < 0.5) | (mask.cumsum(1) == 1))
            for mask in (items.frame_mask, items.audio_mask)
        )
        batch = TokenBatch(
            frames=items.frames, frame_mask=frame_mask, audio=items.audio, audio_mask=audio_mask
        )
        loss = associative_loss(model, batch)  # type: ignore[arg-type]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


def exchanged(items: TokenBatch) -> TokenBatch:
    """The items, each with the sound of another one."""
    audio, mask = items.audio.roll(1, 0), items.audio_mask.roll(1, 0)
    return replace(items, audio=audio, audio_mask=mask)


def main() -> int:
    options = arguments((__doc__ or "").splitlines()[0], media="clips, default ../shared/media")
    folder = options.media or SHARED / "media"
    if not (folder / "pairs").is_dir():
        print(f"no clips in {folder}; set --media or SEEHEAR_TEST_DATA")
        return 1
    engine = TagsEngine(TagsFiles(default_folder()))
    pairs = [path for path in sorted((folder / "pairs").iterdir()) if path.name not in HELD_OUT]
    train = tokens(engine, pairs)
    asked = tokens(engine, [folder / name for names in CASES.values() for name in names])
    seeds, steps = (2, 100) if options.quick else (5, 300)
    found, known = [], []
    for seed in range(seeds):
        model = trained(train, seed, steps)
        with torch.inference_mode():
            found.append(model.match(asked).reshape(len(CASES), -1).numpy())
            right = model.match(train).numpy()
            known.append((right.mean(), model.match(exchanged(train)).numpy().mean()))
    match = np.array(found)  # [seed, case, animal]
    rows = [("training pairs", len(pairs), ""), ("seeds", seeds, "")]
    rows += [
        ("match of training pairs", float(np.mean([k[0] for k in known])), "0..1"),
        (
            "match of training pairs, sounds exchanged",
            float(np.mean([k[1] for k in known])),
            "0..1",
        ),
    ]
    for number, name in enumerate(CASES):
        for animal, word in enumerate(("dog", "horse")):
            values = match[:, number, animal]
            spread = f"0..1, {values.min():.2f} to {values.max():.2f}"
            rows.append((f"{word}, {name}", float(values.mean()), spread))
    above = match[:, 0] > match[:, 1]
    rows.append(("own above wrong, of all seeds and animals", 100 * float(above.mean()), "%"))
    report(rows, packages=["torch", "seehear"], to=options.json)
    return 0 if match[:, 0].mean() > match[:, 1].mean() else 1


if __name__ == "__main__":
    sys.exit(main())
