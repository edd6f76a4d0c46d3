"""Bring pictures of nearly HMI's pixels to them, and results back.

Archives keep HMI's frames resampled to 0.6 arcsec. The blur is still that of HMI, so the network has
to see it in HMI's pixels; the result is then sampled twice as finely as the picture was.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

#: What resampling did to the picture before nobody knows: its results are never fully trusted.
MOST_TRUST = 0.75
_REACH_PX = 12  # of the sinc that doubles a picture
_KAISER_BETA = 6.0


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
    if scale < 1:
        finer = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    else:
        # Interpolating the picture itself would keep more here and less there, and the network would show it.
        finer = cv2.resize(_doubled(image), size, interpolation=cv2.INTER_LANCZOS4)
    # Interpolation weighs the next two pixels most: what is near a gap is not certain.
    known = cv2.erode(is_certain.astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=1)
    certain = cv2.resize(known, size, interpolation=cv2.INTER_NEAREST) > 0
    return Seen(np.asarray(finer, np.float32), np.asarray(certain))


def _doubled(image: FloatArray) -> FloatArray:
    """A picture at twice its sampling, each pixel in four, by a long sinc."""
    taps = np.arange(-_REACH_PX, _REACH_PX + 1)
    halves = []
    for offset in (-0.25, 0.25):  # from a pixel's centre to that of its first and second half
        kernel = np.sinc(taps - offset) * np.kaiser(taps.size, _KAISER_BETA)
        halves.append(kernel / kernel.sum())
    double = np.empty((2 * image.shape[0], 2 * image.shape[1]), np.float32)
    for row, column in itertools.product((0, 1), repeat=2):
        double[row::2, column::2] = cv2.sepFilter2D(
            image, cv2.CV_32F, halves[column], halves[row], borderType=cv2.BORDER_REFLECT
        )
    return double


def brought_back(
    enhanced: FloatArray, trust: FloatArray, shape: tuple[int, ...]
) -> tuple[FloatArray, FloatArray]:
    """Result (2 h, 2 w) and trust (h, w) in the picture's own pixels, of a shape (h, w)."""
    height, width = shape
    # Read at points, not averaged: what a telescope of 28 cm passes, pixels of 0.3 arcsec still hold.
    back = cv2.resize(enhanced, (2 * width, 2 * height), interpolation=cv2.INTER_LANCZOS4)
    trusted = cv2.resize(trust, (width, height), interpolation=cv2.INTER_LINEAR)
    trusted *= np.float32(MOST_TRUST)
    return np.asarray(back, np.float32), np.asarray(trusted, np.float32)
