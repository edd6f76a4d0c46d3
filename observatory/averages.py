"""Pictures made smaller by averaging what each new pixel covers, by code that numba compiles.

The same as OpenCV's INTER_AREA, whose way of doing it takes three times as long where sizes do not divide.
Compiling takes some seconds once and is kept on disk where that can be written.
"""

# What numba compiles takes its types from the arguments.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from functools import lru_cache

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from observatory.compiling import compiled

_TAPS = 4  # pixels of a line that a new one can touch
_MOST = _TAPS - 1.0  # times smaller: a new pixel then touches no more
_TYPES = (np.uint8, np.uint16, np.float32)


def averaged(
    pixels: NDArray[np.generic], rows: int, columns: int, dtype: type[np.generic] | None = None
) -> np.ndarray:
    """Average a picture to a smaller size.

    Parameters
    ----------
    pixels : ndarray, shape (height, width) or (height, width, n)
        uint8, uint16, int16 or float32.
    rows, columns : int
        No more than the height and the width.
    dtype : optional
        Of the averages; the picture's own where none is given, whole numbers being rounded.

    Returns
    -------
    ndarray, shape (rows, columns) or (rows, columns, n)
    """
    height, width = pixels.shape[:2]
    wanted = np.dtype(pixels.dtype if dtype is None else dtype)
    divides = height % rows == 0 and width % columns == 0
    if divides or max(height / rows, width / columns) > _MOST or min(height, width) < _TAPS:
        return _by_opencv(pixels, rows, columns, wanted)
    if pixels.dtype not in _TYPES or wanted not in _TYPES or rows > height or columns > width:
        return _by_opencv(pixels, rows, columns, wanted)
    colours = pixels.shape[2] if pixels.ndim == 3 else 1
    lines = np.ascontiguousarray(pixels).reshape(height, width * colours)
    found = np.empty((rows, columns * colours), wanted)
    first_row, row_shares = _covered(height, rows)
    places, shares = _along_a_line(width, columns, colours)
    _average(lines, colours, first_row, row_shares, places, shares, found)
    return found.reshape(rows, columns, *pixels.shape[2:])


def _by_opencv(
    pixels: NDArray[np.generic], rows: int, columns: int, wanted: np.dtype[np.generic]
) -> np.ndarray:
    given = pixels if pixels.dtype == wanted else pixels.astype(wanted)
    return np.asarray(cv2.resize(given, (columns, rows), interpolation=cv2.INTER_AREA))


@lru_cache(maxsize=64)
def _covered(size: int, made: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """First of the four pixels from which each new one of a line is made, and their shares (made, 4)."""
    edges = np.arange(made + 1) * (size / made)
    first = np.clip(np.floor(edges[:-1] + 1e-9).astype(np.int32), 0, size - _TAPS)
    pixel = first[:, None] + np.arange(_TAPS)
    shares = np.clip(np.minimum(pixel + 1, edges[1:, None]) - np.maximum(pixel, edges[:-1, None]), 0.0, None)
    return first, (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)


@lru_cache(maxsize=64)
def _along_a_line(size: int, made: int, colours: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The same for a line of colours beside each other: places (made * colours,), shares (4, made * colours)."""
    first, shares = _covered(size, made)
    places = (first[:, None] * colours + np.arange(colours)).ravel()
    return places.astype(np.int32), np.ascontiguousarray(np.repeat(shares, colours, axis=0).T)


@compiled
def _average(lines, colours, first_row, row_shares, places, shares, found):
    line = np.empty(lines.shape[1], np.float32)
    made = np.empty(found.shape[1], np.float32)
    for row in range(found.shape[0]):
        top = first_row[row]
        a, b, c, d = row_shares[row]
        for n in range(len(line)):
            line[n] = (a * np.float32(lines[top, n]) + b * np.float32(lines[top + 1, n])) + (
                c * np.float32(lines[top + 2, n]) + d * np.float32(lines[top + 3, n])
            )
        for n in range(len(made)):
            at = places[n]
            made[n] = (shares[0, n] * line[at] + shares[1, n] * line[at + colours]) + (
                shares[2, n] * line[at + 2 * colours] + shares[3, n] * line[at + 3 * colours]
            )
        _store(made, found[row])


def _store(made, line):
    """Rounded where whole numbers are wanted."""


@numba.extending.overload(_store)
def _store_of(made, line):
    if isinstance(line.dtype, numba.types.Integer):

        def rounded(made, line):
            for n in range(len(made)):
                line[n] = np.rint(made[n])

        return rounded

    def plain(made, line):
        for n in range(len(made)):
            line[n] = made[n]

    return plain
