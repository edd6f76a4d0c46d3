"""Bring pictures of nearly HMI's pixels to them, and results back.

Archives keep HMI's frames resampled to 0.6 arcsec. The blur is still that of HMI, so the network has
to see it in HMI's pixels; the result is then sampled twice as finely as the picture was.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

#: What resampling did to the picture before nobody knows: its results are never fully trusted.
MOST_TRUST = 0.75


@dataclass(frozen=True)
class Seen:
    """What a network is given.

    Attributes
    ----------
    image : ndarray (h, w), float32
        Without gaps, in HMI's pixels.
    is_certain : ndarray (h, w) of bool
        Where there is data on the disk.
    """

    image: FloatArray
    is_certain: BoolArray


def resampled(image: FloatArray, is_certain: BoolArray, scale: float) -> Seen:
    """A picture in HMI's pixels.

    Parameters
    ----------
    scale : float
        Side of the picture's pixels in HMI's.
    """
    height, width = image.shape
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    is_finer = scale < 1
    finer = cv2.resize(image, size, interpolation=cv2.INTER_AREA if is_finer else cv2.INTER_CUBIC)
    # Cubic interpolation reaches two pixels far: what is near a gap is not certain.
    known = cv2.erode(is_certain.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1)
    certain = cv2.resize(known, size, interpolation=cv2.INTER_NEAREST) > 0
    return Seen(np.asarray(finer, np.float32), np.asarray(certain))


def brought_back(
    enhanced: FloatArray, trust: FloatArray, shape: tuple[int, ...]
) -> tuple[FloatArray, FloatArray]:
    """Result (2 h, 2 w) and trust (h, w) in the picture's own pixels, of a shape (h, w)."""
    height, width = shape
    is_shrunk = enhanced.shape[0] > 2 * height
    interpolation = cv2.INTER_AREA if is_shrunk else cv2.INTER_CUBIC
    back = cv2.resize(enhanced, (2 * width, 2 * height), interpolation=interpolation)
    trusted = cv2.resize(trust, (width, height), interpolation=cv2.INTER_LINEAR)
    trusted *= np.float32(MOST_TRUST)
    return np.asarray(back, np.float32), np.asarray(trusted, np.float32)
