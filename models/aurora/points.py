"""Points of light: cells brighter than their surroundings, by code that numba compiles."""

# What numba compiles takes its types from the arguments.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from observatory.compiling import compiled


@compiled
def subtract_and_sample(sharp, smooth, inner, places, taken):
    """Subtract one picture from another where its surroundings are known, and take some sizes of what is left.

    Parameters
    ----------
    sharp, smooth : float32 (pixels,)
        The first is overwritten by (sharp - smooth) * inner.
    inner : uint8 (pixels,)
        1 or 0.
    places : int (n,)
    taken : float32 (n,)
        Is overwritten: sizes of what is left at the places.
    """
    for n in range(len(sharp)):
        sharp[n] = (sharp[n] - smooth[n]) * np.float32(inner[n])
    for n in range(len(places)):
        taken[n] = abs(sharp[places[n]])


@compiled
def largest_of_four(fine, scale, found):
    """The largest of each two by two cells over a scale, 0 to 1.

    Parameters
    ----------
    fine : float32 (2 n, 2 n)
    scale : float32
    found : float32 (n, n)
        Is overwritten.
    """
    for row in range(found.shape[0]):
        upper, lower, line = fine[2 * row], fine[2 * row + 1], found[row]
        for column in range(found.shape[1]):
            left, right = 2 * column, 2 * column + 1
            largest = max(max(upper[left], upper[right]), max(lower[left], lower[right]))
            line[column] = min(max(largest / scale, np.float32(0.0)), np.float32(1.0))
