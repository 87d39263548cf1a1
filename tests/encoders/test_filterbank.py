"""Filter banks against stored vectors of Kaldi-compatible references, and edge cases."""

from pathlib import Path

import numpy as np
import pytest

from seehear.encoders.filterbank import (
    ROWS,
    adaptive_shift,
    filter_bank,
    log_mel,
    mel_filters,
)
from seehear.errors import MediaError


@pytest.fixture(scope="module")
def vectors(shared_data: Path) -> dict[str, np.ndarray]:
    with np.load(shared_data / "parity" / "ast_fbank.npz", allow_pickle=False) as file:
        return dict(file)


def wave(vectors: dict[str, np.ndarray]) -> np.ndarray:
    return (vectors["in/wave_i16"] / 32768).astype(np.float32)


def test_filters_equal_the_reference(vectors: dict[str, np.ndarray]) -> None:
    found = mel_filters(128, sample_rate_hz=16000, fft=512, low_hz=20, high_hz=8000)
    np.testing.assert_allclose(found[:256].T, vectors["out_misc/mel_banks"], rtol=0, atol=3e-5)
    assert not found[256].any()  # the reference has no bin at 8 kHz


def test_rows_equal_the_reference_at_every_shift(vectors: dict[str, np.ndarray]) -> None:
    for shift in vectors["cfg/shifts"].tolist():
        found = log_mel(wave(vectors), shift=shift)
        assert len(found) == vectors[f"out_shift/n_rows_{shift}"]
        expected = vectors[f"out_shift/logmel_{shift}"]
        found = found[:: max(1, round(len(found) / len(expected)))]
        assert np.abs(found - expected).max() < 5e-3
        assert np.abs(found - expected).mean() < 5e-5
        if f"out_shift/logmel64_{shift}" in vectors:
            assert np.abs(found - vectors[f"out_shift/logmel64_{shift}"]).max() < 1e-4


def test_rows_equal_kaldis_own_library(vectors: dict[str, np.ndarray]) -> None:
    """kaldi-native-fbank works in float32 and differs from torchaudio by up to 1.6e-3."""
    found, expected = log_mel(wave(vectors), shift=160), vectors["out_misc/knf_logmel_160"]
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 5e-3
    assert np.abs(found - expected).mean() < 5e-5


def test_adaptive_lengths_equal_the_reference(vectors: dict[str, np.ndarray]) -> None:
    names = ["0p5s", "1s", "2s", "9p7s", "24s", "61s"]
    for name, n in zip(names, vectors["cfg/tefal_lengths_samples"].tolist(), strict=True):
        long = np.resize(wave(vectors), n)
        rows = log_mel(long - long.mean(), shift=adaptive_shift(n))
        assert len(rows) == vectors[f"out_tefal/{name}_n_rows_before_cut_pad"]
        for norm in ("audioset", "avigate"):
            mean, std = float(vectors[f"cfg/mean_{norm}"]), float(vectors[f"cfg/std_{norm}"])
            found, _ = filter_bank(long, mean=mean, std=std)
            assert np.abs(found.mean(1) - vectors[f"out_tefal/{name}_row_mean_{norm}"]).max() < 1e-4
            assert np.abs(found.mean(0) - vectors[f"out_tefal/{name}_mel_mean_{norm}"]).max() < 1e-4
        found, _ = filter_bank(long)
        expected = vectors[f"out_tefal/{name}_rows_audioset"]
        difference = np.abs(found[vectors["cfg/rows_saved"]] - expected)
        assert difference.max() < 5e-3
        assert difference.mean() < 5e-5


@pytest.mark.parametrize(
    ("seconds", "shift", "rows"),
    [(1, 15, 1041), (2, 31, 1020), (5, 78, 1021), (10, 156, 1024), (10.24, 160, 1022),
     (15, 234, 1024), (20, 312, 1025), (30, 468, 1025), (60, 937, 1025), (180, 2812, 1025)],
)  # fmt: skip
def test_shifts_and_rows_of_known_lengths(seconds: float, shift: int, rows: int) -> None:
    samples = round(16000 * seconds)
    assert adaptive_shift(samples) == shift
    assert len(log_mel(np.zeros(samples, np.float32), shift=shift)) == rows
    bank, used = filter_bank(np.zeros(samples, np.float32))
    assert bank.shape == (ROWS, 128)
    assert used == shift


def test_sound_shorter_than_1024_samples() -> None:
    with pytest.raises(MediaError, match="1023 samples of sound cannot fill 1024 rows"):
        adaptive_shift(1023)
    for samples in (0, 1, 399, 1023):
        bank, used = filter_bank(np.full(samples, 0.1, np.float32))
        assert bank.shape == (ROWS, 128)
        assert used == 1
        assert np.isfinite(bank).all()


def test_silence_and_padding_have_the_papers_values() -> None:
    silent, _ = filter_bank(np.zeros(16000, np.float32))
    assert silent[0, 0] == pytest.approx(-1.278, abs=1e-3)
    padded, _ = filter_bank(np.zeros(16000, np.float32), shift=160)
    assert padded[-1, 0] == pytest.approx(0.467, abs=1e-3)


def test_input_stays_untouched() -> None:
    waveform = np.ones(20000, np.float32)
    filter_bank(waveform)
    assert (waveform == 1).all()
