"""Spoken and written digits: recordings of FSDD with pictures of scikit-learn, paired by class."""

from __future__ import annotations

import io
import wave
import zipfile
from pathlib import Path

import numpy as np

from seehear.encoders.filterbank import mel_filters
from seehear_lab.class_level.pairs import ClassSet, ClassSplit, pairs_of

STRETCHES, MELS, RATE_HZ = 12, 40, 8000  # mean log-mel energy in 12 stretches x 40 mel bins
_WINDOW, _SHIFT, _FFT = 200, 80, 256


def read_digits(recordings: Path) -> ClassSet:
    """Read spoken digits (recordings 0-4 test, 5-9 validation), each with a written digit.

    No picture is in two splits. In each class pictures are repeated in turn, as there are fewer of
    them than recordings.
    """
    from sklearn.datasets import load_digits

    sounds, spoken, part = _read_recordings(recordings)
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
        splits=(ClassSplit(train=train, val=val, test=test),),
        class_names=tuple("0123456789"),
    )


def _read_recordings(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
    padded = np.pad(samples, (0, max(0, _WINDOW + STRETCHES * _SHIFT - len(samples))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_SHIFT]
    power = np.abs(np.fft.rfft(windows * np.hanning(_WINDOW), _FFT)) ** 2
    filters = mel_filters(MELS, sample_rate_hz=RATE_HZ, fft=_FFT, low_hz=20, high_hz=RATE_HZ / 2)
    energy = np.log(power @ filters + 1e-6)
    return np.concatenate([part.mean(0) for part in np.array_split(energy, STRETCHES)])
