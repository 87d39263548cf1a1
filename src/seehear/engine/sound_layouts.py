"""Fewer sound tokens per item: pooled over frequency (1212 -> 101) or merged in time (-> 64).

A full token set is the spectrogram's grid, frequency first: token = frequency * 101 + time.
A pooled token is a mean and weighs as much as the tokens in it.
"""

from __future__ import annotations

import numpy as np

from seehear.engine.scoring import PackedTokens, packed

FREQUENCIES = 12


def time_pooled(tokens: PackedTokens, *, frequencies: int = FREQUENCIES) -> PackedTokens:
    """One token per time step: the mean over frequency rows (1212 -> 101).

    Raises: ValueError if an item's tokens do not form a grid.
    """
    times = np.diff(tokens.offsets) // frequencies
    return _pooled(_by_time(tokens, frequencies), tokens, times)


def merged(tokens: PackedTokens, *, into: int = 64, frequencies: int = FREQUENCIES) -> PackedTokens:
    """At most `into` tokens per item: means of neighbours in time, of nearly equal number.

    l_k = q . mean_k + ln(number of tokens in k): as if each token were equal to their mean.

    Raises: ValueError if an item's tokens do not form a grid.
    """
    order, lengths = _by_time(tokens, frequencies), np.diff(tokens.offsets)
    return _pooled(order, tokens, np.minimum(lengths, into))


def _by_time(tokens: PackedTokens, frequencies: int) -> np.ndarray:
    """The index of every token, item after item, time before frequency."""
    lengths = np.diff(tokens.offsets)
    if np.any(lengths % frequencies):
        wrong = int(lengths[lengths % frequencies > 0][0])
        raise ValueError(f"an item has {wrong} sound tokens; expected {frequencies} per time step")
    orders = [
        begin + np.arange(length).reshape(frequencies, -1).T.ravel()
        for begin, length in zip(tokens.offsets[:-1], lengths, strict=True)
    ]
    return np.concatenate([np.empty(0, np.int64), *orders])


def _pooled(order: np.ndarray, tokens: PackedTokens, groups: np.ndarray) -> PackedTokens:
    values: list[np.ndarray] = [np.empty((0, tokens.dim), np.float32)]
    counts: list[np.ndarray] = [np.empty(0)]
    for item in np.flatnonzero(groups).tolist():
        begin, end = tokens.offsets[item], tokens.offsets[item + 1]
        cuts = np.arange(groups[item]) * (end - begin) // groups[item]
        number = np.diff([*cuts, end - begin])
        rows = tokens.rows(item, item + 1)[order[begin:end] - begin]
        values.append(np.add.reduceat(rows, cuts, axis=0) / number[:, None].astype(np.float32))
        counts.append(number)
    return packed(np.concatenate(values), groups, np.log(np.concatenate(counts)))
