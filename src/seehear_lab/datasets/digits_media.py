"""The raw material of digits-av: handwritten and spoken digits, and clips written from them."""

from __future__ import annotations

import io
import wave
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
from jaxtyping import Float32, Int, UInt8

from seehear.errors import UsageError

Split = Literal["train", "val", "test"]
SLOT_S, SIDE_PX, FPS, RATE_HZ = 0.8, 32, 10, 8000
Wave = Float32[np.ndarray, " sample"]
SHARE = {"test": (0.0, 0.2), "val": (0.2, 0.3), "train": (0.3, 1.0)}  # of the pictures of a digit
TAKES = {"test": range(5), "val": range(5, 10), "train": range(10, 50)}  # 0-4: official test


@dataclass(frozen=True, kw_only=True, eq=False)
class Material:
    """Pictures and recordings of one split, by digit; no two splits share one."""

    pictures: tuple[UInt8[np.ndarray, "picture 8 8"], ...]
    recordings: tuple[tuple[Wave, ...], ...]


def load_material(fsdd: Path, split: Split) -> Material:
    """scikit-learn's digits, split by item, and the Free Spoken Digit Dataset.

    Recordings 0-4 of each speaker and digit are its official test; 5-9 are held out of training.

    Raises: UsageError if `fsdd` holds no recordings.zip.
    """
    from sklearn.datasets import load_digits  # extra [lab]

    images, labels = load_digits(return_X_y=True)
    pictures = []
    for digit in range(10):
        own = np.clip(images[labels == digit] * 16, 0, 255).astype(np.uint8).reshape(-1, 8, 8)
        own = own[np.random.default_rng(digit).permutation(len(own))]
        low, high = (round(share * len(own)) for share in SHARE[split])
        pictures.append(own[low:high])
    return Material(pictures=tuple(pictures), recordings=_recordings(fsdd, TAKES[split]))


def _recordings(fsdd: Path, takes: range) -> tuple[tuple[Wave, ...], ...]:
    path = fsdd / "recordings.zip"
    if not path.is_file():
        raise UsageError(
            f"there is no '{path}'; it is the folder recordings/ of "
            "github.com/Jakobovski/free-spoken-digit-dataset as one zip"
        )
    spoken: list[list[Wave]] = [[] for _ in range(10)]
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if not name.endswith(".wav"):
                continue
            digit, _, take = Path(name).stem.split("_")
            if int(take) in takes:
                spoken[int(digit)].append(_wave(archive.read(name)))
    return tuple(tuple(own) for own in spoken)


def _wave(data: bytes) -> Wave:
    """A recording at equal loudness, at most one slot long."""
    with wave.open(io.BytesIO(data)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32)
    samples = samples[: round(SLOT_S * RATE_HZ)]
    return samples / max(8 * float(np.sqrt(np.mean(samples**2))), 1.0)


def show(
    digits: Sequence[int], material: Material, rng: np.random.Generator
) -> UInt8[np.ndarray, "frame side side"]:
    """Pictures at FPS: one slot for each digit, 24 pixels of digit somewhere on a dark ground."""
    frames = []
    for digit in digits:
        small = material.pictures[digit][rng.integers(len(material.pictures[digit]))]
        top, left = rng.integers(0, SIDE_PX - 24 + 1, 2)
        picture = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
        picture[top : top + 24, left : left + 24] = small.repeat(3, 0).repeat(3, 1)
        frames += [picture] * round(SLOT_S * FPS)
    return np.stack(frames)


def say(digits: Sequence[int], material: Material, rng: np.random.Generator) -> Wave:
    """Sound at RATE_HZ: one recording somewhere in each slot, each by any speaker."""
    slot = round(SLOT_S * RATE_HZ)
    sound = np.zeros(slot * len(digits), np.float32)
    for place, digit in enumerate(digits):
        spoken = material.recordings[digit][rng.integers(len(material.recordings[digit]))]
        at = place * slot + int(rng.integers(slot - len(spoken) + 1))
        sound[at : at + len(spoken)] += spoken
    return sound


def noise(slots: int, rng: np.random.Generator) -> Wave:
    """Hiss, hum or knocks that have nothing to do with the pictures."""
    count = round(SLOT_S * RATE_HZ) * slots
    hiss = rng.normal(0, 0.05, count)
    hum = 0.2 * np.sin(2 * np.pi * rng.uniform(80, 600) * np.arange(count) / RATE_HZ)
    knocks = rng.normal(0, 0.3, count) * (np.sin(np.arange(count) / rng.uniform(200, 900)) > 0.9)
    return [hiss, hum + hiss / 4, knocks][rng.integers(3)].astype(np.float32)


def write_clip(
    path: Path, frames: UInt8[np.ndarray, "frame side side"], sound: Wave | None
) -> None:
    """An mkv file: H.264 pictures, and AAC sound unless there is none."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS, width=SIDE_PX, height=SIDE_PX)
        video.pix_fmt, video.options = "yuv420p", {"preset": "ultrafast", "threads": "1"}
        audio = (
            container.add_stream("aac", rate=RATE_HZ, layout="mono") if sound is not None else None
        )
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.stack([picture] * 3, -1), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None and sound is not None:
            block = av.AudioFrame.from_ndarray(sound[None], "fltp", "mono")
            block.sample_rate = RATE_HZ
            container.mux(audio.encode(block))
            container.mux(audio.encode(None))


def draw(count: int, rng: np.random.Generator) -> Int[np.ndarray, " slot"]:
    """`count` digits, each different from the one before it."""
    steps = rng.integers(1, 10, count)
    steps[0] = rng.integers(10)
    return np.cumsum(steps) % 10
