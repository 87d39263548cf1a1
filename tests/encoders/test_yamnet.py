"""The log-mel patches of YAMNet against a loop over their definition."""

import math

import numpy as np

from seehear.encoders import yamnet


def naive_log_mel(waveform: np.ndarray) -> np.ndarray:
    """Loop over frames and over triangular filters."""
    hann = [0.5 - 0.5 * math.cos(2 * math.pi * n / 400) for n in range(400)]
    edges = np.linspace(1127 * math.log(1 + 125 / 700), 1127 * math.log(1 + 7500 / 700), 66)
    rows = []
    for start in range(0, len(waveform) - 399, 160):
        spectrum = abs(np.fft.rfft(waveform[start : start + 400] * hann, 512))
        row = []
        for low, middle, high in zip(edges, edges[1:], edges[2:], strict=False):
            total = 0.0
            for k, magnitude in enumerate(spectrum):
                mel = 1127 * math.log(1 + k * 16000 / 512 / 700)
                weight = min((mel - low) / (middle - low), (high - mel) / (high - middle))
                total += max(weight, 0.0) * magnitude
            row.append(math.log(total + 0.001))
        rows.append(row)
    return np.array(rows)


def test_patches_equal_the_definition() -> None:
    waveform = np.random.default_rng(0).normal(size=16000).astype(np.float32) * 0.1
    patches = yamnet.log_mel_patches(waveform)
    assert patches.shape == (1, 1, 96, 64)
    np.testing.assert_allclose(patches[0, 0], naive_log_mel(waveform)[:96], atol=1e-4)


def test_silence_gives_the_log_of_the_offset() -> None:
    patches = yamnet.log_mel_patches(np.zeros(16000, np.float32))
    np.testing.assert_allclose(patches, math.log(0.001), rtol=1e-6)


def test_number_of_patches() -> None:
    for seconds, count in ((0.05, 1), (0.96, 1), (1.5, 2), (10.0, 19)):
        samples = np.ones(int(16000 * seconds), np.float32)
        assert len(yamnet.log_mel_patches(samples)) == count


def test_later_patches_cover_later_sound() -> None:
    waveform = np.zeros(32000, np.float32)
    waveform[16000:] = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    patches = yamnet.log_mel_patches(waveform)
    assert patches[0].max() < patches[-1].max()
