"""Spoken and written digits: recordings of FSDD with pictures of scikit-learn, paired by class."""

from __future__ import annotations

import io
import wave
import zipfile
from pathlib import Path

import numpy as np

from seehear_lab.class_level.pairs import ClassSet, Cut, pairs_of

TIMES, BANDS, RATE_HZ = 12, 40, 8000  # mean log-mel energy in 12 stretches x 40 bands


def read_digits(recordings: Path) -> ClassSet:
    """Spoken digits (recordings 0-4 test, 5-9 select) with scikit-learn's written ones, by class.

    A written digit belongs to one part only; in a class they are dealt out in turn, as there are
    fewer of them than recordings.
    """
    from sklearn.datasets import load_digits

    sounds, spoken, part = _recordings(recordings)
    images, written = load_digits(return_X_y=True)
    chosen, rng = np.zeros(len(spoken), int), np.random.default_rng(0)
    for digit in range(10):
        ends = np.cumsum([0, 30, 30, len(written)])  # of its pictures: test, validation, training
        own = rng.permutation(np.flatnonzero(written == digit))
        for at in range(3):
            rows = np.flatnonzero((spoken == digit) & (part == at))
            chosen[rows] = np.resize(own[ends[at] : ends[at + 1]], len(rows))
    test, val, train = (np.flatnonzero(part == at) for at in range(3))
    return ClassSet(
        name="digits",
        features="log-mel-480 + pixels-64",
        x_name="audio",
        y_name="image",
        pairs=pairs_of(sounds, images[chosen], spoken),
        cuts=(Cut(train=train, val=val, test=test),),
        class_names=tuple("0123456789"),
    )


def _recordings(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, digits and parts (0 test, 1 validation, 2 training) of digit_speaker_index.wav."""
    rows = []
    with zipfile.ZipFile(path) as archive:
        for name in sorted(n for n in archive.namelist() if n.endswith(".wav")):
            digit, _, index = Path(name).stem.split("_")
            with wave.open(io.BytesIO(archive.read(name))) as sound:
                samples = np.frombuffer(sound.readframes(sound.getnframes()), np.int16)
            rows.append((stretch_log_mel(samples / 32768), int(digit), min(int(index) // 5, 2)))
    features, digits, parts = zip(*rows, strict=True)
    return np.stack(features), np.array(digits), np.array(parts)


def stretch_log_mel(samples: np.ndarray) -> np.ndarray:
    """ln of mel energies, averaged over 12 equal stretches of a recording: 480 numbers."""
    window, hop, fft = 200, 80, 256
    padded = np.pad(samples, (0, max(0, window + TIMES * hop - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop] * np.hanning(window)
    energy = np.log(np.abs(np.fft.rfft(frames, fft)) ** 2 @ _mel(fft) + 1e-6)
    return np.concatenate([part.mean(0) for part in np.array_split(energy, TIMES)])


def _mel(fft: int) -> np.ndarray:
    mel = 1127 * np.log1p(np.arange(fft // 2 + 1) * RATE_HZ / fft / 700)
    edges = np.linspace(1127 * np.log1p(20 / 700), mel[-1], BANDS + 2)
    rising = (mel[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - mel[:, None]) / np.diff(edges)[1:]
    return np.clip(np.minimum(rising, falling), 0, None)
