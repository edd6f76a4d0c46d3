"""Pictures of one plane blurred by a Gaussian, by code that numba compiles.

The same as OpenCV's GaussianBlur with its mirrored edges, which takes half as long again where the Gaussian is wide.
"""

# What numba compiles takes its types from the arguments.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from observatory.compiling import compiled

FloatArray = NDArray[np.float32]

_AT_ONCE = 3  # pairs of pixels that are added in one go through a line
_REACH = 4.0  # standard deviations, as OpenCV's own for real numbers


def blurred(picture: FloatArray, sigma: float) -> FloatArray:
    """Blur a picture.

    Parameters
    ----------
    picture : ndarray, shape (height, width), float32
        At least four standard deviations and four pixels a side.
    sigma : float
        Standard deviation in pixels.

    Returns
    -------
    ndarray, shape (height, width), float32

    Raises
    ------
    ValueError
        When the picture is too small for its edges to be mirrored.
    """
    weights = _weights(sigma)
    if min(picture.shape) < len(weights):
        height, width = picture.shape
        raise ValueError(
            f"{width} by {height} pixels are too few to be blurred by {sigma}: {len(weights)} are"
        )
    found = np.empty(picture.shape, np.float32)
    _blur(np.ascontiguousarray(picture, np.float32), weights, found)
    return found


@lru_cache(maxsize=16)
def _weights(sigma: float) -> FloatArray:
    """Of the pixel in the middle and of those beside it, up to a whole number of goes."""
    taps = int(np.rint(2 * _REACH * sigma + 1)) | 1
    half = cv2.getGaussianKernel(taps, sigma, cv2.CV_32F)[taps // 2 :, 0]
    return np.pad(half, (0, -(len(half) - 1) % _AT_ONCE))


@compiled(may_contract=True)
def _blur(rows, weights, found):
    height, width = rows.shape
    reach = len(weights) - 1
    line = np.empty(width + 2 * reach, np.float32)
    middle = line[reach : reach + width]
    for row in range(height):
        own = rows[row]
        for n in range(width):
            middle[n] = weights[0] * own[n]
        for far in range(1, reach + 1, _AT_ONCE):
            above_1, below_1 = _pair(rows, row, far)
            above_2, below_2 = _pair(rows, row, far + 1)
            above_3, below_3 = _pair(rows, row, far + 2)
            first, second, third = weights[far], weights[far + 1], weights[far + 2]
            for n in range(width):
                middle[n] += (
                    first * (above_1[n] + below_1[n])
                    + second * (above_2[n] + below_2[n])
                    + third * (above_3[n] + below_3[n])
                )
        for far in range(1, reach + 1):
            line[reach - far], line[reach + width - 1 + far] = middle[far], middle[width - 1 - far]
        made = found[row]
        for n in range(width):
            made[n] = weights[0] * middle[n]
        for far in range(1, reach + 1, _AT_ONCE):
            left_1, right_1 = line[reach - far :], line[reach + far :]
            left_2, right_2 = line[reach - far - 1 :], line[reach + far + 1 :]
            left_3, right_3 = line[reach - far - 2 :], line[reach + far + 2 :]
            first, second, third = weights[far], weights[far + 1], weights[far + 2]
            for n in range(width):
                made[n] += (
                    first * (left_1[n] + right_1[n])
                    + second * (left_2[n] + right_2[n])
                    + third * (left_3[n] + right_3[n])
                )


@compiled
def _pair(rows, row, far):
    """The rows so far above and below, mirrored at the first and the last."""
    below, last = row + far, len(rows) - 1
    return rows[abs(row - far)], rows[below if below <= last else 2 * last - below]
