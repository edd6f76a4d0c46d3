"""From a frame of any all-sky camera to the square that the network sees (numpy and OpenCV).

The sky's circle is laid on a square on which the distance from the middle is the zenith distance, 90° at
the edge, whatever the lens; the square is turned and mirrored as the picture is. Nothing of it depends on
the camera's gain, offset or number type, and one frame's square depends on no other frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from observatory.errors import UnusableInputError
from observatory.fisheye import Fisheye, Projection
from observatory.frame import Frame

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

SIDE = 128
"""Cells of the square along a side."""
GRID = 16
"""Cells of the cloud map along a side; it covers the same square."""
CHANNELS = ("brightness", "stretched", "contrast", "points", "green", "red", "valid")

_FINE = 2 * SIDE  # stars are looked for here: averaged further, they drown
_SPARE = 1.1  # a circle so much larger than the fine square is averaged first, else stars would be skipped
_STOPS = 4.0  # of the sky's median that `brightness` tells apart, both ways
_LEAST_RADIUS_PX = 16.0  # below it there is no picture of a sky
_TYPES = (np.uint8, np.uint16, np.int16, np.float32)  # what OpenCV resizes and remaps


@dataclass(frozen=True)
class Square:
    """The sky laid on the fine square.

    Attributes
    ----------
    pixels : ndarray, shape (256, 256) or (256, 256, 3), float32
        In the frame's own counts; 0 where nothing is known.
    is_valid : ndarray, shape (256, 256), bool
    dark : ndarray, shape (1,) or (3,), float32
        Counts without light, as the frame's darkest hundredth tells.
    """

    pixels: FloatArray
    is_valid: BoolArray
    dark: FloatArray


def geometry_of(circle: Fisheye, side: int = SIDE) -> Fisheye:
    """Where the cells of the square (`SIDE`) or of the cloud map (`GRID`) look."""
    return Fisheye(
        center_x_px=(side - 1) / 2.0,
        center_y_px=(side - 1) / 2.0,
        radius_px=side / 2.0,
        up_azimuth_deg=circle.up_azimuth_deg,
        is_clockwise=circle.is_clockwise,
        is_oriented=circle.is_oriented,
        source=circle.source,
    )


def prepare(frame: Frame, circle: Fisheye) -> FloatArray:
    """The network's input of one frame.

    Parameters
    ----------
    frame : Frame
        Of any size and number type, grey or colour.
    circle : Fisheye
        Where the sky lies on it.

    Returns
    -------
    ndarray, shape (7, 128, 128), float32
        `CHANNELS`, each 0 where nothing is known:
        ``brightness``: log2 of the light over the sky's median, -1 to 1 for -4 to 4;
        ``stretched``: 0 to 1 between the sky's 1st and 99th percentile;
        ``contrast``: against the surroundings of some 8°, in units of four robust deviations, -1 to 1;
        ``points``: what stands out from its nearest surroundings (stars), 0 to 1;
        ``green`` and ``red``: excess of green over red and blue, and of red over blue, as shares of the
        light, -1 to 1; 0 for grey cameras; ``valid``: 0 or 1.

    Raises
    ------
    UnusableInputError
        When the circle lies outside the frame or is too small to show a sky.
    """
    return channels(lay_out(frame.pixels, circle, frame.sky_mask))


def lay_out(pixels: np.ndarray, circle: Fisheye, sky_mask: BoolArray | None = None) -> Square:
    """Resample the sky's circle to the fine square; averages first where the picture is larger."""
    radius_x, radius_y = circle.radius_px, circle.radius_px * circle.aspect
    if min(radius_x, radius_y) < _LEAST_RADIUS_PX:
        raise UnusableInputError(
            f"the sky's circle has a radius of {min(radius_x, radius_y):.0f} pixels only; "
            f"{_LEAST_RADIUS_PX:.0f} are needed: give a larger picture or the camera's geometry"
        )
    height, width = pixels.shape[:2]
    left, right = _span(circle.center_x_px, radius_x, width)
    top, bottom = _span(circle.center_y_px, radius_y, height)
    if right - left < _LEAST_RADIUS_PX or bottom - top < _LEAST_RADIUS_PX:
        raise UnusableInputError(
            f"the sky's circle around ({circle.center_x_px:.0f}, {circle.center_y_px:.0f}) lies outside the "
            f"frame of {width} by {height} pixels: correct the camera's geometry"
        )
    window = _as_plain(pixels[top:bottom, left:right])
    columns, rows = _reduced(right - left, radius_x), _reduced(bottom - top, radius_y)
    seen = None if sky_mask is None else sky_mask[top:bottom, left:right].astype(np.uint8)
    if (columns, rows) != (right - left, bottom - top):
        window = cv2.resize(window, (columns, rows), interpolation=cv2.INTER_AREA)
        if seen is not None:
            seen = cv2.resize(seen, (columns, rows), interpolation=cv2.INTER_NEAREST)
    scale_x, scale_y = columns / (right - left), rows / (bottom - top)
    unit_x, unit_y = _unit_maps(circle.projection, circle.max_zenith_deg)
    map_x = unit_x * np.float32(radius_x * scale_x) + np.float32(
        (circle.center_x_px - left + 0.5) * scale_x - 0.5
    )
    map_y = unit_y * np.float32(radius_y * scale_y) + np.float32(
        (circle.center_y_px - top + 0.5) * scale_y - 0.5
    )
    is_valid = (map_x >= -0.5) & (map_x <= columns - 0.5) & (map_y >= -0.5) & (map_y <= rows - 0.5)
    if seen is not None:
        is_valid &= cv2.remap(seen, map_x, map_y, cv2.INTER_NEAREST, borderValue=0) > 0
    laid = cv2.remap(window, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    laid = laid.astype(np.float32)
    if window.dtype == np.float32:
        is_finite = np.isfinite(laid) if laid.ndim == 2 else np.isfinite(laid).all(axis=2)
        is_valid &= is_finite
    laid[~is_valid] = 0.0
    return Square(laid, is_valid, _dark(window))


def channels(square: Square) -> FloatArray:
    """The seven channels of a square; see `prepare`."""
    found = np.zeros((len(CHANNELS), SIDE, SIDE), np.float32)
    weight = cv2.resize(square.is_valid.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    is_valid = weight >= 0.5
    if not is_valid.any():
        return found
    is_colour = square.pixels.ndim == 3
    fine = square.pixels.mean(axis=2) if is_colour else square.pixels
    coarse = cv2.resize(square.pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    coarse /= np.maximum(weight, 0.25)[..., None] if is_colour else np.maximum(weight, 0.25)
    light = coarse.mean(axis=2) if is_colour else coarse
    light = light - square.dark.mean()
    low, median, high, bright = _quantiles(light[is_valid], (0.01, 0.5, 0.9, 0.99))
    floor = float(np.maximum(0.05 * (high - np.minimum(low, 0.0)), 1e-30))
    ratio = (np.maximum(light, 0.0) + floor) / (max(median, 0.0) + floor)
    found[0] = np.clip(np.log2(ratio) / _STOPS, -1.0, 1.0)
    if bright > low:
        found[1] = np.clip((light - low) / (bright - low), 0.0, 1.0)
    found[2] = _contrast(light, weight, is_valid)
    found[3] = _points(fine, square.is_valid)
    if is_colour:
        red, green, blue = np.moveaxis(coarse - square.dark, 2, 0)
        whole = np.maximum(light, 0.0) + floor
        found[4] = np.clip((green - 0.5 * (red + blue)) / whole, -1.0, 1.0)
        found[5] = np.clip(0.5 * (red - blue) / whole, -1.0, 1.0)
    found[6] = 1.0
    return found * is_valid


def _contrast(light: FloatArray, weight: FloatArray, is_valid: BoolArray) -> FloatArray:
    """Light against the mean of its valid surroundings, in units of four robust deviations."""
    known = np.where(is_valid, light, np.float32(0))
    near = cv2.GaussianBlur(known, (0, 0), 6.0)
    share = cv2.GaussianBlur(is_valid.astype(np.float32), (0, 0), 6.0)
    apart = known - near / np.maximum(share, 1e-3)
    deviation = 1.4826 * _quantiles(np.abs(apart[is_valid]), (0.5,))[0]
    if deviation <= 0.0:
        return np.zeros_like(light)
    return np.asarray(np.clip(apart / (4.0 * deviation), -1.0, 1.0), np.float32)


def _points(fine: FloatArray, is_valid: BoolArray) -> FloatArray:
    """What stands out from a cell's nearest surroundings: the largest of each two by two fine cells."""
    apart = cv2.GaussianBlur(fine, (0, 0), 0.6) - cv2.GaussianBlur(fine, (0, 0), 2.2)
    apart[~(cv2.erode(is_valid.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0)] = 0.0
    deviation = 1.4826 * _quantiles(np.abs(apart[is_valid]), (0.5,))[0]
    if deviation <= 0.0:
        return np.zeros((SIDE, SIDE), np.float32)
    above = np.clip(apart / (12.0 * deviation), 0.0, 1.0)
    return np.asarray(above.reshape(SIDE, 2, SIDE, 2).max(axis=(1, 3)), np.float32)


def _quantiles(values: FloatArray, shares: tuple[float, ...]) -> list[float]:
    """Order statistics by partition of every third value; exact enough, and ten times as fast."""
    thinned = values[::3] if values.size > 3000 else values
    places = [min(thinned.size - 1, int(share * thinned.size)) for share in shares]
    parted = np.partition(thinned, places)
    return [float(parted[place]) for place in places]


def _span(center: float, radius: float, size: int) -> tuple[int, int]:
    return max(0, int(np.floor(center - radius))), min(size, int(np.ceil(center + radius)) + 1)


def _reduced(size: int, radius: float) -> int:
    """Pixels along a side once the circle is no larger than the fine square."""
    factor = radius / (_FINE / 2)
    return size if factor <= _SPARE else max(1, round(size / factor))


def _as_plain(window: np.ndarray) -> np.ndarray:
    """Pixels in a type and layout that OpenCV takes: (h, w) or (h, w, 3)."""
    if window.ndim == 3:
        window = window[..., 0] if window.shape[2] < 3 else window[..., :3]
    if window.dtype not in _TYPES or not window.dtype.isnative:
        return np.ascontiguousarray(window, np.float32)
    return np.ascontiguousarray(window)


def _dark(window: np.ndarray) -> FloatArray:
    """Darkest hundredth of the circle's bounding box, whose corners see no sky; per colour."""
    step = max(1, int(np.sqrt(window.shape[0] * window.shape[1] / 4000.0)))
    values = window[::step, ::step].reshape(-1, 1 if window.ndim == 2 else 3).astype(np.float32)
    values = values[np.isfinite(values).all(axis=1)]
    if not len(values):
        return np.zeros(1 if window.ndim == 2 else 3, np.float32)
    place = int(0.01 * len(values))
    return np.asarray(np.partition(values, place, axis=0)[place], np.float32)


@lru_cache(maxsize=32)
def _unit_maps(projection: Projection, max_zenith_deg: float) -> tuple[FloatArray, FloatArray]:
    """Pixels (x, y) of the fine square's cells on a lens of radius 1 around 0; far off beyond its reach."""
    zenith, azimuth = geometry_of(Fisheye(0.0, 0.0, 1.0, is_clockwise=True), _FINE).directions((_FINE, _FINE))
    lens = Fisheye(0.0, 0.0, 1.0, max_zenith_deg=max_zenith_deg, projection=projection, is_clockwise=True)
    is_seen = np.nan_to_num(zenith, nan=np.inf) <= min(90.0, max_zenith_deg)
    x, y = lens.pixel(np.where(is_seen, zenith, 0.0), azimuth)
    far = np.float32(-1e6)
    return np.where(is_seen, x, far).astype(np.float32), np.where(is_seen, y, far).astype(np.float32)
