"""Waveform -> log-mel filter bank, Kaldi-compatible, with TEFAL's adaptive frame shift."""

from __future__ import annotations

from functools import cache

import numpy as np
from jaxtyping import Float32, Float64

from seehear.errors import MediaError, counted

SAMPLE_RATE_HZ, MEL_BINS, ROWS = 16000, 128, 1024
AUDIOSET_MEAN, AUDIOSET_STD = -4.2677393, 4.5689974
_WINDOW, _FFT, _LOW_HZ, _PREEMPHASIS = 400, 512, 20.0, 0.97
_FLOOR = float(np.finfo(np.float32).eps)


def adaptive_shift(num_samples: int, *, rows: int = ROWS) -> int:
    """Frame shift in samples that spreads `rows` filter-bank rows over all of a waveform.

    f_shift = 1000 n / (sr * rows) ms, rounded down to samples as Kaldi does: floor(n / rows).

    Source: TEFAL (Ibrahimi et al.), section 4.1.1.
    Raises: MediaError below `rows` samples (64 ms), where the shift would be 0.
    """
    if num_samples < rows:
        raise MediaError(f"{counted(num_samples, 'sample')} of sound cannot fill {rows} rows")
    return num_samples // rows


@cache
def mel_filters(
    mels: int, *, sample_rate_hz: int, fft: int, low_hz: float, high_hz: float
) -> Float64[np.ndarray, "bin mel"]:
    """Weights of `mels` triangular filters, evenly spaced in mel, over fft // 2 + 1 FFT bins.

    mel(f) = 1127 ln(1 + f / 700), as in HTK and Kaldi.
    """
    mel = 1127.0 * np.log1p(np.arange(fft // 2 + 1) * sample_rate_hz / fft / 700.0)
    low, high = (1127.0 * np.log1p(hz / 700.0) for hz in (low_hz, high_hz))
    edges = np.linspace(low, high, mels + 2)
    rising = (mel[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - mel[:, None]) / np.diff(edges)[1:]
    return np.clip(np.minimum(rising, falling), 0.0, None)


def log_mel(
    waveform: Float32[np.ndarray, " sample"], *, shift: int
) -> Float32[np.ndarray, "row mel"]:
    """Rows of ln(mel energy), one per `shift` samples while a 25 ms window fits.

    Per row: mean removed, pre-emphasis 0.97, symmetric Hann window, power spectrum of 512 points.

    Note: with a shift above 400 samples, sound between the windows is skipped. Some low filters
    cover one FFT bin, and filter 3 covers none.
    """
    if len(waveform) < _WINDOW:
        return np.zeros((0, MEL_BINS), np.float32)
    rows = np.lib.stride_tricks.sliding_window_view(waveform, _WINDOW)[::shift].astype(np.float64)
    rows = rows - rows.mean(1, keepdims=True)
    before = np.concatenate([rows[:, :1], rows[:, :-1]], axis=1)
    windowed = (rows - _PREEMPHASIS * before) * np.hanning(_WINDOW)
    power = np.abs(np.fft.rfft(windowed, _FFT, axis=1)) ** 2
    filters = mel_filters(
        MEL_BINS,
        sample_rate_hz=SAMPLE_RATE_HZ,
        fft=_FFT,
        low_hz=_LOW_HZ,
        high_hz=SAMPLE_RATE_HZ / 2,
    )
    return np.log(np.maximum(power @ filters, _FLOOR)).astype(np.float32)


def filter_bank(
    waveform: Float32[np.ndarray, " sample"],
    *,
    shift: int | None = None,
    mean: float = AUDIOSET_MEAN,
    std: float = AUDIOSET_STD,
) -> tuple[Float32[np.ndarray, "1024 128"], int]:
    """Filter bank that AST takes, (x - mean) / (2 std), and the frame shift used, in samples.

    Truncated to 1024 rows, or padded with zero rows before normalising. With `shift` None the shift
    adapts to the length; 160 is the fixed 10 ms of TEFAL's Table 7.

    Source: TEFAL, section 4.1.1; AST (Gong et al., 2021) for normalisation.
    Differs: sound under 64 ms is repeated to 1024 samples (the formula is undefined for it).
    """
    if len(waveform) < ROWS:
        waveform = np.resize(waveform, ROWS) if len(waveform) else np.zeros(ROWS, np.float32)
    used = adaptive_shift(len(waveform)) if shift is None else shift
    rows = log_mel(waveform - waveform.mean(dtype=np.float64).astype(np.float32), shift=used)
    rows = np.pad(rows[:ROWS], ((0, max(0, ROWS - len(rows))), (0, 0)))
    return ((rows - mean) / (2 * std)).astype(np.float32), used
