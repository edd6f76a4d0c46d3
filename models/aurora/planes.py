"""The planes that the network sees, cell by cell, by code that numba compiles.

Pictures are float32, contiguous and of any shape; scalars are np.float32, else numba would count in 64 bits.
"""

# What numba compiles takes its types from the arguments.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from observatory.compiling import compiled


@compiled
def sampled(picture, places):
    """Values of a picture at flat places (n,): float32 (n,)."""
    flat, taken = picture.ravel(), np.empty(len(places), np.float32)
    for n in range(len(places)):
        taken[n] = flat[places[n]]
    return taken


@compiled
def scale_light(light, floor, middle, low, span, ratio, stretched):
    """Light as a multiple of the sky's middle, and between two of its percentiles.

    Parameters
    ----------
    light : picture
    floor : np.float32
        Is added to the light, above 0: the ratio's logarithm is taken.
    middle, low, span : np.float32
        Above 0; any; above 0.
    ratio, stretched : pictures
        Are overwritten, the latter by 0 to 1.
    """
    flat, ratios, shares = light.ravel(), ratio.ravel(), stretched.ravel()
    zero, one = np.float32(0.0), np.float32(1.0)
    for n in range(len(flat)):
        ratios[n] = (max(flat[n], zero) + floor) / middle
        shares[n] = min(max((flat[n] - low) / span, zero), one)


@compiled
def clip_where(picture, scale, known, found):
    """A picture over a scale, -1 to 1, and 0 where it is not known.

    Parameters
    ----------
    picture : picture
    scale : np.float32
    known : picture
        1 or 0.
    found : picture
        Is overwritten; may be the first.
    """
    flat, is_known, clipped = picture.ravel(), known.ravel(), found.ravel()
    one = np.float32(1.0)
    for n in range(len(flat)):
        clipped[n] = min(max(flat[n] / scale, -one), one) * is_known[n]


@compiled
def largest_of_four(fine, scale, found):
    """The largest of each two by two cells over a scale, 0 to 1.

    Parameters
    ----------
    fine : float32 (2 n, 2 n)
    scale : np.float32
    found : float32 (n, n)
        Is overwritten.
    """
    for row in range(found.shape[0]):
        upper, lower, line = fine[2 * row], fine[2 * row + 1], found[row]
        for column in range(found.shape[1]):
            left, right = 2 * column, 2 * column + 1
            largest = max(max(upper[left], upper[right]), max(lower[left], lower[right]))
            line[column] = min(max(largest / scale, np.float32(0.0)), np.float32(1.0))
