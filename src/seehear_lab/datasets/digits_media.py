"""Raw material of digits-av: handwritten and spoken digits, and how clips are written."""

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
    """Pictures and recordings of one split, by digit."""

    pictures: tuple[UInt8[np.ndarray, "picture 8 8"], ...]
    recordings: tuple[tuple[Wave, ...], ...]


def load_material(fsdd: Path, split: Split) -> Material:
    """Load scikit-learn's digits and the Free Spoken Digit Dataset for one split.

    Recordings 0-4 of each speaker and digit are the official test split, 5-9 validation.

    Raises: UsageError if `fsdd` has no recordings.zip.
    """
    from sklearn.datasets import load_digits  # extra [lab]

    images, labels = load_digits(return_X_y=True)
    pictures = []
    for digit in range(10):
        images_of = np.clip(images[labels == digit] * 16, 0, 255).astype(np.uint8)
        images_of = images_of.reshape(-1, 8, 8)
        images_of = images_of[np.random.default_rng(digit).permutation(len(images_of))]
        low, high = (round(share * len(images_of)) for share in SHARE[split])
        pictures.append(images_of[low:high])
    return Material(pictures=tuple(pictures), recordings=_recordings(fsdd, TAKES[split]))


def _recordings(fsdd: Path, takes: range) -> tuple[tuple[Wave, ...], ...]:
    path = fsdd / "recordings.zip"
    if not path.is_file():
        raise UsageError(
            f"there is no '{path}'; make it by zipping the folder recordings/ of "
            "github.com/Jakobovski/free-spoken-digit-dataset"
        )
    spoken: list[list[Wave]] = [[] for _ in range(10)]
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if not name.endswith(".wav"):
                continue
            digit, _, take = Path(name).stem.split("_")
            if int(take) in takes:
                spoken[int(digit)].append(_wave(archive.read(name)))
    return tuple(map(tuple, spoken))


def _wave(data: bytes) -> Wave:
    """Read a recording, normalised in loudness and cut to one slot."""
    with wave.open(io.BytesIO(data)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32)
    samples = samples[: round(SLOT_S * RATE_HZ)]
    return samples / max(8 * float(np.sqrt(np.mean(samples**2))), 1.0)


def show(
    digits: Sequence[int], material: Material, rng: np.random.Generator
) -> UInt8[np.ndarray, "frame side side"]:
    """Frames at FPS: one slot per digit, 24 x 24 pixels at a random place on black."""
    frames = []
    for digit in digits:
        small = material.pictures[digit][rng.integers(len(material.pictures[digit]))]
        top, left = rng.integers(0, SIDE_PX - 24 + 1, 2)
        picture = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
        picture[top : top + 24, left : left + 24] = small.repeat(3, 0).repeat(3, 1)
        frames += [picture] * round(SLOT_S * FPS)
    return np.stack(frames)


def say(digits: Sequence[int], material: Material, rng: np.random.Generator) -> Wave:
    """Sound at RATE_HZ: one recording per slot at a random time, each by a random speaker."""
    slot = round(SLOT_S * RATE_HZ)
    sound = np.zeros(slot * len(digits), np.float32)
    for place, digit in enumerate(digits):
        spoken = material.recordings[digit][rng.integers(len(material.recordings[digit]))]
        at = place * slot + int(rng.integers(slot - len(spoken) + 1))
        sound[at : at + len(spoken)] += spoken
    return sound


def noise(slots: int, rng: np.random.Generator) -> Wave:
    """Random noise: hiss, hum or knocks."""
    count = round(SLOT_S * RATE_HZ) * slots
    hiss = rng.normal(0, 0.05, count)
    hum = 0.2 * np.sin(2 * np.pi * rng.uniform(80, 600) * np.arange(count) / RATE_HZ)
    knocks = rng.normal(0, 0.3, count) * (np.sin(np.arange(count) / rng.uniform(200, 900)) > 0.9)
    return [hiss, hum + hiss / 4, knocks][rng.integers(3)].astype(np.float32)


def write_clip(
    path: Path, frames: UInt8[np.ndarray, "frame side side"], sound: Wave | None
) -> None:
    """Write an mkv file with H.264 video and, unless `sound` is None, AAC sound."""
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
    """Draw `count` random digits, each different from the one before it."""
    steps = rng.integers(1, 10, count)
    steps[0] = rng.integers(10)
    return np.cumsum(steps) % 10
