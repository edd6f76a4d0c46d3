"""Pictures of one plane read between their pixels, by code that numba compiles.

The same as OpenCV's remap with INTER_LINEAR and its nearest pixel beyond the edges, which takes more than twice as
long. Where the same places are read in every frame, they are worked out once.
"""

# What numba compiles takes its types from the arguments.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from observatory.compiling import compiled

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Places:
    """Where pictures of one size are read.

    Attributes
    ----------
    first : ndarray of uint32, shape (n, m)
        Flat place of the upper left of the four pixels around each.
    right, down : ndarray of float32, shape (n, m)
        How far each lies from it, 0 to 1 pixels.
    width : int
        Of the pictures.
    """

    first: NDArray[np.uint32]
    right: FloatArray
    down: FloatArray
    width: int

    @classmethod
    def of(cls, x: FloatArray, y: FloatArray, shape: tuple[int, int]) -> Places:
        """From columns and rows, counted from the middle of the first pixel.

        Parameters
        ----------
        x, y : ndarray of float32, shape (n, m)
            Beyond a picture's edge its last pixel is read.
        shape : tuple of int
            Height and width of the pictures, at least two pixels each.
        """
        first, right, down = np.empty(x.shape, np.uint32), np.empty_like(x), np.empty_like(x)
        _divide(x.ravel(), y.ravel(), shape[0], shape[1], first.ravel(), right.ravel(), down.ravel())
        return cls(first, right, down, shape[1])

    def read(self, picture: NDArray[np.generic]) -> FloatArray:
        """What a picture (height, width) holds there, shape (n, m): NaN where one of the four pixels is."""
        found = np.empty_like(self.right)
        flat = np.ascontiguousarray(picture, np.float32).ravel()
        _read(flat, self.width, self.first.ravel(), self.right.ravel(), self.down.ravel(), found.ravel())
        return found


@compiled
def _divide(x, y, height, width, first, right, down):
    most_x, most_y, least = np.float32(width - 1), np.float32(height - 1), np.float32(0)
    last_x, last_y, line = np.int32(width - 2), np.int32(height - 2), np.int32(width)
    for n in range(len(first)):
        at_x, at_y = min(max(x[n], least), most_x), min(max(y[n], least), most_y)
        column, row = min(np.int32(at_x), last_x), min(np.int32(at_y), last_y)
        right[n], down[n] = at_x - np.float32(column), at_y - np.float32(row)
        first[n] = np.uint32(row * line + column)


@compiled
def _read(flat, width, first, right, down, found):
    one, line = (
        np.uint64(1),
        np.uint64(width),
    )  # of signed places the compiler would ask whether they are negative
    for n in range(len(found)):
        place = np.uint64(first[n])
        upper = flat[place] + right[n] * (flat[place + one] - flat[place])
        place += line
        lower = flat[place] + right[n] * (flat[place + one] - flat[place])
        found[n] = upper + down[n] * (lower - upper)
