"""Pixels above all of their neighbours, found and mended by code that numba compiles."""

# What numba compiles takes its types from the arguments.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from observatory.compiling import compiled


@compiled
def places_above(picture, least):
    """Flat places of the pixels that exceed each of their eight neighbours by more than `least`; none at the edges.

    Parameters
    ----------
    picture : int (height, width)
        Of at most 16 bits.
    least : int

    Returns
    -------
    int64 (n,)
    """
    height, width = picture.shape
    found = np.empty(picture.size, np.int64)
    count = 0
    excess = np.empty(width, np.int32)
    for row in range(1, height - 1):
        above, own, below = picture[row - 1], picture[row], picture[row + 1]
        largest = np.int32(-(2**31))
        for n in range(1, width - 1):
            over = max(max(above[n - 1], above[n]), max(above[n + 1], own[n - 1]))
            under = max(max(own[n + 1], below[n - 1]), max(below[n], below[n + 1]))
            excess[n] = np.int32(own[n]) - np.int32(max(over, under))
            largest = max(largest, excess[n])
        if largest > least:  # of few rows
            for n in range(1, width - 1):
                if excess[n] > least:
                    found[count] = row * width + n
                    count += 1
    return found[:count].copy()


@compiled
def mend(flat, width, places, wing, noise, cleaned):
    """Set pixels without wings to the middle of their neighbours.

    Parameters
    ----------
    flat : int (pixels,)
        A picture of lines of `width`.
    places : int64 (n,)
        None at the edges.
    wing : float
        Share of a point's light that its brightest neighbour has at least.
    noise : float
        That a neighbour may have beyond it.
    cleaned : as `flat`
        Is overwritten where pixels are hot.
    """
    near = np.empty(8, np.float32)
    for place in places:
        count = 0
        for down in (-width, 0, width):
            for right in (-1, 0, 1):
                if down != 0 or right != 0:
                    near[count] = flat[place + down + right]
                    count += 1
        near.sort()
        base = 0.5 * (near[3] + near[4])
        if near[7] - base < wing * (flat[place] - base) + noise:
            cleaned[place] = flat.dtype.type(base)
