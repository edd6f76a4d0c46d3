"""Single pixels that are brighter than all of their neighbours, found by code that numba compiles."""

# What numba compiles takes its types from the arguments.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from observatory.compiling import compiled


def standing_out(pixels: NDArray[np.integer], least: float) -> NDArray[np.intp]:
    """Flat places of pixels that are by more than `least` brighter than the brightest of their eight neighbours.

    Parameters
    ----------
    pixels : ndarray of whole numbers, shape (height, width)
        Those at its edges are left out.
    """
    places = np.empty(pixels.size, np.intp)
    return places[: _find(pixels, np.float32(least), places)].copy()


@compiled
def _find(pixels, least, places):
    height, width = pixels.shape
    count = 0
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            below = np.float32(pixels[y, x]) - least
            if pixels[y, x - 1] >= below or pixels[y, x + 1] >= below:
                continue
            if pixels[y - 1, x] >= below or pixels[y + 1, x] >= below:
                continue
            if pixels[y - 1, x - 1] >= below or pixels[y - 1, x + 1] >= below:
                continue
            if pixels[y + 1, x - 1] < below and pixels[y + 1, x + 1] < below:
                places[count] = y * width + x
                count += 1
    return count
