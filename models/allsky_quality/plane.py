"""A coarse copy of an all-sky frame, on which nearly all is measured (numpy and OpenCV)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from observatory.fisheye import Fisheye
from observatory.frame import Frame
from observatory.robust import median

FloatArray = NDArray[np.floating]
BoolArray = NDArray[np.bool_]

RADIUS = 64
"""Cells of the coarse copy from the zenith to the horizon."""
SKY_RADII = 0.9
"""Lower the sky is mostly haze, trees and lights."""
_OUTSIDE_RADII = 1.12  # beyond the glow at the edge of a lens
_LEAST_OUTSIDE = 40  # cells that tell a dark level
_FULL_SHARE = 0.985  # of the largest value: compression takes a little off
_FULL_COUNTS = 65535.0  # of numbers that are not whole
_TYPES = (np.uint8, np.uint16, np.int16, np.float32)  # what OpenCV resizes


@dataclass(frozen=True)
class Plane:
    """Brightness of a frame around the circle of its sky.

    Attributes
    ----------
    light : ndarray, shape (rows, columns), float32
        Mean of the colours in the frame's counts; what is unknown is 0.
    sky : ndarray of bool, same shape
        Cells that show sky.
    places : ndarray of int
        Their flat places.
    colours : ndarray, shape (rows, columns, 3), or None
        The same as `light` for each of red, green and blue; None for grey cameras.
    values : ndarray of float32, shape (cells of the sky,)
        `light` at these places.
    middle : float
        Median of the values; 0 where there are none.
    dark : float
        Counts without light: the median outside of the circle, the darkest hundredth where that is not seen.
    full : float
        Largest value that the numbers can have.
    saturated : ndarray of float32, shape as `light`
        Share of each cell at the largest value, in any colour.
    unknown : float
        Share of the sky without a number.
    extent_px : tuple (x0, y0, x1, y1)
        Edges of the copy in pixels of the frame.
    """

    light: FloatArray
    sky: BoolArray
    places: NDArray[np.intp]
    colours: FloatArray | None
    values: FloatArray
    middle: float
    dark: float
    full: float
    saturated: FloatArray
    unknown: float
    extent_px: tuple[float, float, float, float]

    @property
    def is_picture(self) -> bool:
        """Whether the numbers have been made for the eye: 8 bits."""
        return self.full == 255.0


def plane_of(frame: Frame, circle: Fisheye) -> Plane:
    """Average a frame to cells of which about 64 reach from the zenith to the horizon."""
    block = (_whole(circle.radius_px / RADIUS), _whole(circle.radius_px * circle.aspect / RADIUS))
    rows, columns = frame.height // block[1], frame.width // block[0]
    pixels = frame.pixels[: rows * block[1], : columns * block[0]]
    if pixels.dtype not in _TYPES:
        pixels = pixels.astype(np.float32)
    known = None
    if pixels.dtype == np.float32 and not np.isfinite(pixels).all():
        known = np.isfinite(pixels).all(axis=2) if pixels.ndim == 3 else np.isfinite(pixels)
        pixels = np.nan_to_num(pixels, posinf=0.0, neginf=0.0)
    size = (columns, rows)
    full = largest_of(pixels.dtype)
    counts = _mean(pixels, size)
    zones = _zones(circle, block, size)
    sky, places = zones.sky, zones.places
    if frame.sky_mask is not None:
        sky = sky & (cv2.resize(frame.sky_mask.view(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0)
    unknown = 0.0
    if known is not None:
        share = _mean(known.astype(np.float32), size)
        unknown = float(1.0 - share[sky].mean()) if sky.any() else 1.0
        counts /= np.maximum(share, 0.1) if counts.ndim == 2 else np.maximum(share, 0.1)[..., None]
        sky = sky & (share > 0.5)
    if sky is not zones.sky:
        places = np.flatnonzero(sky)
    light = grey_of(counts) if counts.ndim == 3 else counts
    values = light.ravel().take(places)
    middle = median(values) if values.size else 0.0
    return Plane(
        light=light,
        sky=sky,
        places=places,
        colours=counts if counts.ndim == 3 else None,
        values=values,
        middle=middle,
        dark=_dark(light, values, middle, zones.outside),
        full=full,
        saturated=_saturated(pixels, full, size),
        unknown=unknown,
        extent_px=(-0.5, -0.5, columns * block[0] - 0.5, rows * block[1] - 0.5),
    )


def _whole(ratio: float) -> int:
    return max(1, round(ratio))  # blocks of whole pixels are averaged several times as fast


def grey_of(colours: np.ndarray) -> FloatArray:
    """Mean of the colours: shape (rows, columns), float32."""
    counts = colours if colours.dtype == np.float32 else colours.astype(np.float32)
    return np.asarray(cv2.transform(counts, np.full((1, counts.shape[2]), 1.0 / counts.shape[2], np.float32)))


def largest_of(dtype: np.dtype[Any]) -> float:
    """Largest value of a type of pixels."""
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else _FULL_COUNTS


def _dark(light: FloatArray, sky: FloatArray, middle: float, outside: NDArray[np.intp]) -> float:
    """Counts without light; what glows around the lens more than the sky is none."""
    if outside.size >= _LEAST_OUTSIDE:
        dark = median(light.ravel().take(outside))
        if not sky.size or dark <= middle or dark <= middle + 1.5 * median(np.abs(sky - middle)):
            return dark
    return float(np.percentile(light, 1.0))


def _saturated(pixels: np.ndarray, full: float, size: tuple[int, int]) -> FloatArray:
    """Share of each cell at the largest value, in its brightest colour."""
    limit = math.ceil(_FULL_SHARE * full)
    if not pixels.size or pixels.max() < limit:
        return np.zeros(size[::-1], np.float32)
    if pixels.dtype in (np.uint8, np.float32):  # OpenCV's is four times as fast as numpy
        is_full = cv2.threshold(pixels, limit - 1, 255, cv2.THRESH_BINARY)[1]
    else:
        is_full = (pixels >= limit).view(np.uint8) * np.uint8(255)
    share = _mean(is_full, size) / np.float32(255.0)
    if share.ndim == 2:
        return share
    # Colour by colour: numpy's maximum over a short last axis takes ten times as long.
    return np.maximum(np.maximum(share[..., 0], share[..., 1]), share[..., 2])


def _mean(pixels: np.ndarray, size: tuple[int, int]) -> FloatArray:
    factor_x, factor_y = pixels.shape[1] // size[0], pixels.shape[0] // size[1]
    while factor_x % 2 == 0 and factor_y % 2 == 0:  # two by two is several times as fast as four by four
        half = (pixels.shape[1] // 2, pixels.shape[0] // 2)
        pixels = cv2.resize(pixels, half, interpolation=cv2.INTER_AREA)
        factor_x, factor_y = factor_x // 2, factor_y // 2
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.float32)


@dataclass(frozen=True)
class _Zones:
    """Cells of the sky, their flat places, and those of the cells well outside of the circle."""

    sky: BoolArray
    places: NDArray[np.intp]
    outside: NDArray[np.intp]


@lru_cache(maxsize=16)
def _zones(circle: Fisheye, block: tuple[int, int], size: tuple[int, int]) -> _Zones:
    x = ((np.arange(size[0]) + 0.5) * block[0] - 0.5 - circle.center_x_px) / circle.radius_px
    y = (np.arange(size[1]) + 0.5) * block[1] - 0.5 - circle.center_y_px
    radius = np.hypot(x[None, :], y[:, None] / (circle.radius_px * circle.aspect))
    sky = radius < SKY_RADII
    return _Zones(sky, np.flatnonzero(sky), np.flatnonzero(radius > _OUTSIDE_RADII))
