"""The data set digits-av: clips show handwritten digits while a voice says other digits.

Small enough to train on two cores. Clips are written as video files, read back with
`seehear.media`, and cached as arrays.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float16, Int, UInt8

from seehear.encoders.filterbank import log_mel
from seehear.media import read_clip
from seehear.types import MediaSpec
from seehear_lab.datasets import digits_media as media

Level = Literal["whole", "part"]
SLOTS: dict[Level, int] = {"whole": 2, "part": 6}
NAMED: dict[Level, int] = {"whole": 2, "part": 3}  # digits per modality in a caption
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PER_MILLE_SILENT, PER_MILLE_NOISE = 20, 15  # 45 unordered pairs of digits exist: 35 stay unique
SHIFT = 200  # samples at 16 kHz between rows of the filter bank: 12.5 ms
MELS = 64  # pairs of the 128 mel bins, averaged
VERSION = 1  # of how clips are made; part of the cache key


@dataclass(frozen=True, kw_only=True)
class DigitsSpec:
    """The parameters of a split; together they are the cache key."""

    level: Level
    split: media.Split
    count: int
    seed: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class DigitClips:
    """Clips as arrays. `said` is -1 in clips without speech (silent, or with noise)."""

    level: Level
    frames: UInt8[np.ndarray, "item frame side side"]
    banks: Float16[np.ndarray, "item row mel"]
    has_sound: Int[np.ndarray, " item"]  # 0 no audio stream, 1 speech, 2 noise
    shown: Int[np.ndarray, "item slot"]
    said: Int[np.ndarray, "item slot"]
    shown_named: Int[np.ndarray, "item named"]  # digits in the caption
    said_named: Int[np.ndarray, "item named"]

    def __len__(self) -> int:
        return len(self.frames)

    def caption(self, row: int) -> str:
        """The caption of a clip."""
        return caption(self.shown_named[row], self.said_named[row])


def caption(shown: Iterable[int], said: Iterable[int]) -> str:
    """A caption such as "shown two five said nine one"; digits of -1 are left out."""
    seen = " ".join(WORDS[digit] for digit in shown)
    heard = " ".join(WORDS[digit] for digit in said if digit >= 0)
    return f"shown {seen} said {heard}" if heard else f"shown {seen}"


def digits_av(spec: DigitsSpec, *, fsdd: Path, cache: Path) -> DigitClips:
    """Load the clips of a split from `cache`; make them first if they are not there.

    `fsdd` is the folder of the Free Spoken Digit Dataset. Captions are unique in splits of at most
    1,000 clips. Splits share no pictures and no recordings.
    """
    key = hashlib.sha256(f"{VERSION} {sorted(asdict(spec).items())}".encode()).hexdigest()[:12]
    path = cache / f"digits-av-{spec.level}-{spec.split}-{key}.npz"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        arrays = _make(spec, media.load_material(fsdd, spec.split))
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, **arrays)
        partial.rename(path)
    with np.load(path) as cached:
        return DigitClips(level=spec.level, **{name: cached[name] for name in cached.files})


def _make(spec: DigitsSpec, material: media.Material) -> dict[str, np.ndarray]:
    """Sample digits, write each clip, read it back."""
    rng = np.random.default_rng([spec.seed, *spec.level.encode(), *spec.split.encode()])
    rows = list(_sample_rows(spec, rng))
    clips = [_render(shown, said, kind, material, rng) for shown, said, kind, _, _ in rows]
    frames, banks = zip(*clips, strict=True)
    shown, said, kind, shown_named, said_named = (
        np.stack(column) for column in zip(*rows, strict=True)
    )
    return {
        "frames": np.stack(frames),
        "banks": np.stack(banks),
        "has_sound": kind,
        "shown": shown,
        "said": said,
        "shown_named": shown_named,
        "said_named": said_named,
    }


def _sample_rows(spec: DigitsSpec, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, ...]]:
    """(shown, said, kind of sound, shown and said in the caption) per clip; silent clips first."""
    used: set[bytes] = set()
    slots, named = SLOTS[spec.level], NAMED[spec.level]
    silent, noisy = (spec.count * share // 1000 for share in (PER_MILLE_SILENT, PER_MILLE_NOISE))
    number = 0
    while number < spec.count:
        kind = 0 if number < silent else 2 if number < silent + noisy else 1
        shown = media.draw(slots, rng)
        said = media.draw(slots, rng) if kind == 1 else np.full(slots, -1)
        first, other = rng.integers(slots - named + 1, size=2)
        seen, heard = shown[first : first + named], said[other : other + named]
        key = (np.sort(seen) if kind != 1 else seen).tobytes() + heard.tobytes()
        if spec.count <= 1000 and key in used:
            continue
        used.add(key)
        number += 1
        yield shown, said, np.array(kind), seen, heard


def _render(
    shown: Int[np.ndarray, " slot"],
    said: Int[np.ndarray, " slot"],
    kind: Int[np.ndarray, ""],
    material: media.Material,
    rng: np.random.Generator,
) -> tuple[UInt8[np.ndarray, "frame side side"], Float16[np.ndarray, "row mel"]]:
    """Write one clip to a temporary file and read it back with `seehear.media`."""
    sound = media.say(said, material, rng) if kind == 1 else None
    if kind == 2:
        sound = media.noise(len(shown), rng)
    seconds = media.SLOT_S * len(shown)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mkv"
        media.write_clip(path, media.show(shown, material, rng), sound)
        clip = read_clip(path, 0.0, seconds, MediaSpec(side_px=media.SIDE_PX, frames_per_s=2.5))
    bank = np.zeros((round(seconds * 16000) // SHIFT, 2 * MELS), np.float32)
    if clip.sound == "sound":
        rows = log_mel(clip.waveform, shift=SHIFT)[: len(bank)]
        bank[: len(rows)] = (rows + 8.0) / 8.0  # roughly -1 .. 1
    return clip.frames[..., 0], bank.reshape(len(bank), MELS, 2).mean(2).astype(np.float16)


def vocabulary() -> dict[str, int]:
    """The id of each word, from 1; 0 is padding."""
    words = ("<start>", "<end>", "shown", "said", *WORDS)
    return {word: number for number, word in enumerate(words, start=1)}


def word_ids(captions: Sequence[str], *, length: int = 12) -> Int[np.ndarray, "query word"]:
    """Captions as ids between <start> and <end>, padded with 0."""
    known = vocabulary()
    ids = np.zeros((len(captions), length), np.int64)
    for row, caption in zip(ids, captions, strict=True):
        words = ["<start>", *caption.split(), "<end>"]
        row[: len(words)] = [known[word] for word in words]
    return ids
