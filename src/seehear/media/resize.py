"""Bicubic resizing of pictures as Pillow does it, without Pillow."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float32, UInt8

AT_ONCE = 4  # rows of the result: few input rows are multiplied by weights of zero
PRODUCTS = 2**18  # of one matrix product; OpenBLAS gives larger ones to several threads

Picture = UInt8[np.ndarray, "_height _width 3"]
Bands = tuple[tuple[int, int, Float32[np.ndarray, "row used"]], ...]  # first and next row used


def resize(picture: Picture, height: int, width: int) -> Picture:
    """Bicubic (a = -0.5), its support widened by the scale where the picture shrinks.

    Columns first, whole levels between the two passes: Pillow's result, now and then one level off.
    """
    columns = _resize_rows(_turned(picture), width)
    return _resize_rows(_turned(columns), height)


def _turned(picture: Picture) -> Picture:
    """Rows as columns; a pixel is moved as one value of three bytes, three times as fast."""
    pixels = np.ascontiguousarray(picture).view("V3")[..., 0]
    return np.ascontiguousarray(pixels.T).view(np.uint8).reshape(*pixels.T.shape, 3)


def _resize_rows(picture: Picture, rows: int) -> Picture:
    flat = picture.reshape(len(picture), -1)
    resized = np.empty((rows, flat.shape[1]), np.float32)
    for number, (first, after, weights) in enumerate(_bands(len(flat), rows)):
        out = resized[AT_ONCE * number : AT_ONCE * (number + 1)]
        step = max(PRODUCTS // weights.size, 1)
        for at in range(0, flat.shape[1], step):
            part = flat[first:after, at : at + step].astype(np.float32)
            np.matmul(weights, part, out=out[:, at : at + step])
    levels = np.clip(np.rint(resized, out=resized), 0, 255, out=resized)
    return levels.astype(np.uint8).reshape(rows, -1, 3)


@lru_cache(16)
def _bands(length: int, to: int) -> Bands:
    """What each AT_ONCE rows of the result are made of."""
    scale = length / to
    return tuple(
        _band(length, scale, (np.arange(at, min(at + AT_ONCE, to)) + 0.5) * scale)
        for at in range(0, to, AT_ONCE)
    )


def _band(
    length: int, scale: float, middles: np.ndarray
) -> tuple[int, int, Float32[np.ndarray, "row used"]]:
    stretch = max(scale, 1.0)
    first = max(int(middles[0] - 2 * stretch), 0)
    after = min(int(middles[-1] + 2 * stretch) + 1, length)
    x = np.abs(np.arange(first, after) + 0.5 - middles[:, None]) / stretch
    near = (1.5 * x - 2.5) * x**2 + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = np.where(x < 1, near, np.where(x < 2, far, 0))
    return first, after, (weights / weights.sum(1, keepdims=True)).astype(np.float32)
