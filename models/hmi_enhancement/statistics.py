"""What a picture of the photosphere looks like, in a few numbers that spots and gaps do not change."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from models.hmi_enhancement.trust import noise_of
from observatory.analysis import Quantity

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

#: Widths of Gaussians in pixels; neighbours' differences are bands, granules fall into the second and third.
SCALES_PX = (0.6, 1.2, 2.4, 4.8)
LEAST_QUIET_PX = 300  # some eight granules: fewer say nothing

_SMOOTH_PX = 3.0
_QUIET_RANGE = {Quantity.CONTINUUM: (0.90, 1.10), Quantity.FIELD: (-0.05, 0.05)}
_AROUND_PX = 4
_LAPLACIAN_PX = 0.8
_TINY = 1e-7


@dataclass(frozen=True)
class Statistics:
    """Structure of the quiet part of a picture, in logarithms to the base 10.

    Attributes
    ----------
    finest : float
        Structure below a pixel: of noise mostly.
    strength : float
        Structure of one to two pixels.
    ratio_finest, ratio_fine, ratio_coarse : float
        Structure of each band over that of the next coarser one.
    tail : float
        Rms over what the median tells of a normal distribution, of the second band; 0 is normal.
    corner : float
        What the telescope does not pass, which is noise, over `strength`.
    lanes : float
        Asymmetry of the Laplacian, -1 to 1 and no logarithm: below 0 where dark lanes run
        between bright granules.
    """

    finest: float
    strength: float
    ratio_finest: float
    ratio_fine: float
    ratio_coarse: float
    tail: float
    corner: float
    lanes: float

    def to_vector(self) -> NDArray[np.float64]:
        """In the order of the fields."""
        return np.array(astuple(self), np.float64)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Of the fields."""
        return tuple(field.name for field in fields(cls))


@dataclass(frozen=True)
class Parts:
    """Which pixels are quiet Sun.

    Attributes
    ----------
    quiet : ndarray of bool
    quiet_fraction, bright_fraction, dark_fraction : float
        Shares of the pixels with data: quiet; so bright, on the scale of some granules, as nothing of
        the continuum is; and as dark as umbra.
    """

    quiet: BoolArray
    quiet_fraction: float
    bright_fraction: float
    dark_fraction: float


def parts_of(image: FloatArray, is_certain: BoolArray, quantity: Quantity) -> Parts:
    """Tell quiet Sun from spots, plage and gaps."""
    smooth = cv2.GaussianBlur(image, (0, 0), _SMOOTH_PX)
    low, high = _QUIET_RANGE[quantity]
    disturbed = ((smooth < low) | (smooth > high) | ~is_certain).astype(np.uint8)
    side = 2 * _AROUND_PX + 1
    quiet = cv2.dilate(disturbed, np.ones((side, side), np.uint8), borderValue=0) == 0
    count = max(1, int(is_certain.sum()))
    shares = (float((is_certain & chosen).sum()) / count for chosen in (smooth > 1.15, smooth < 0.6))
    return Parts(np.asarray(quiet), float(quiet.sum()) / count, *shares)


def measure(image: FloatArray, chosen: BoolArray) -> Statistics:
    """Measure the structure of the chosen pixels; what lies beside them does not enter.

    Parameters
    ----------
    image : ndarray (h, w), float32
    chosen : ndarray (h, w) of bool
        At least one.
    """
    say = chosen.astype(np.float32)
    is_all = bool(chosen.all())
    level = np.float32(np.median(image[chosen]))
    shown = (image - level) * say

    def blurred(width: float) -> FloatArray:
        mean = cv2.GaussianBlur(shown, (0, 0), width)
        if is_all:
            return np.asarray(mean)
        return np.asarray(mean / np.maximum(cv2.GaussianBlur(say, (0, 0), width), np.float32(1e-3)))

    layers = [shown, *(blurred(width) for width in SCALES_PX)]
    bands = [(finer - coarser)[chosen] for finer, coarser in pairwise(layers)]
    spreads = [_spread(band) for band in bands]
    logs = np.log10(spreads)
    laplacian = cv2.Laplacian(blurred(_LAPLACIAN_PX) * say, cv2.CV_32F, borderType=cv2.BORDER_REFLECT)
    inner = cv2.erode(chosen.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1) > 0
    low, middle, high = np.quantile(laplacian[inner] if inner.any() else laplacian, (0.05, 0.5, 0.95))
    return Statistics(
        finest=float(logs[0]),
        strength=float(logs[1]),
        ratio_finest=float(logs[0] - logs[1]),
        ratio_fine=float(logs[1] - logs[2]),
        ratio_coarse=float(logs[2] - logs[3]),
        tail=float(np.log10((float(bands[1].std()) + _TINY) / spreads[1])),
        corner=float(np.log10((noise_of(image, chosen) + _TINY) / spreads[1])),
        lanes=float((high + low - 2 * middle) / (high - low + _TINY)),
    )


def _spread(band: FloatArray) -> float:
    return 1.4826 * float(np.median(np.abs(band - np.median(band)))) + _TINY
