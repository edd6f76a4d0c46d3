"""From a frame of any all-sky camera to the square that the network sees (numpy and OpenCV).

The sky's circle is laid on a square on which the distance from the middle is the zenith distance, 90° at
the edge, whatever the lens; the square is turned and mirrored as the picture is. Nothing of it depends on
the camera's gain, offset or number type, and one frame's square depends on no other frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from observatory import hot_pixels
from observatory.errors import UnusableInputError
from observatory.fisheye import Fisheye, Projection
from observatory.frame import Frame

if TYPE_CHECKING:
    from observatory.bilinear import Places

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

SIDE = 128
"""Cells of the square along a side."""
GRID = 16
"""Cells of the cloud map along a side; it covers the same square."""
CHANNELS = ("brightness", "stretched", "contrast", "points", "green", "red", "valid")

_FINE = 2 * SIDE  # stars are looked for here: averaged further, they drown
_SPARE = 1.1  # a circle so much larger than the fine square is averaged first, else stars would be skipped
STOPS = 4.0
"""Of the sky's median that `brightness` tells apart, both ways."""
_SURROUNDINGS = 6.0  # cells, of `contrast`
_POINT, _AROUND_POINT = 0.6, 2.2  # fine cells, of `points`
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
    masks : Masks or None
        What follows from `is_valid`, where it is known already.
    """

    pixels: FloatArray
    is_valid: BoolArray
    dark: FloatArray
    masks: Masks | None = None

    @property
    def visible(self) -> FloatArray:
        """Known share of each cell of the cloud map, (16, 16), 0 to 1."""
        return _visible(self.is_valid) if self.masks is None else self.masks.visible


@dataclass(frozen=True)
class Masks:
    """What follows from where a square is known; the same for all frames of a camera that stands still.

    Attributes
    ----------
    divisor : ndarray, shape (128, 128), float32
        Known share of a cell, at least a quarter.
    known : ndarray, shape (128, 128), float32
        1 where a cell is known, else 0.
    share : ndarray, shape (128, 128), float32
        Known share of a cell's surroundings.
    inner : ndarray, shape (256, 256), float32
        1 where a fine cell's nearest surroundings are known, else 0.
    sampled, finely_sampled : ndarray of int
        Flat places of the known cells, and of the fine ones, from which order statistics are taken.
    seen : ndarray, shape (256, 256), float32
        1 where something is known, else 0.
    shown, shown_in_colour : ndarray, shape (256, 256) and (256, 256, 3), uint8
        255 where something is known, else 0.
    visible : ndarray, shape (16, 16), float32
        Known share of the cloud map's cells.
    """

    divisor: FloatArray
    known: FloatArray
    share: FloatArray
    inner: FloatArray
    sampled: NDArray[np.intp]
    finely_sampled: NDArray[np.intp]
    seen: FloatArray
    shown: NDArray[np.uint8]
    shown_in_colour: NDArray[np.uint8]
    visible: FloatArray

    @classmethod
    def of(cls, is_valid: BoolArray) -> Masks:
        """Of a fine square."""
        weight = cv2.resize(is_valid.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        is_known = weight >= 0.5
        known = is_known.astype(np.float32)
        share = cv2.GaussianBlur(known, (0, 0), _SURROUNDINGS)
        inner = cv2.erode(is_valid.astype(np.uint8), np.ones((7, 7), np.uint8))
        shown = is_valid.astype(np.uint8) * np.uint8(255)
        return cls(
            np.maximum(weight, np.float32(0.25)),
            known,
            np.maximum(share, np.float32(1e-3)),
            inner.astype(np.float32),
            _thinned(is_known),
            _thinned(is_valid),
            is_valid.astype(np.float32),
            shown,
            cv2.merge([shown] * 3),
            _visible(is_valid),
        )


def _visible(is_valid: BoolArray) -> FloatArray:
    return np.asarray(cv2.resize(is_valid.astype(np.float32), (GRID, GRID), interpolation=cv2.INTER_AREA))


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
    window = without_hot_pixels(_as_plain(pixels[top:bottom, left:right]))
    columns, rows = _reduced(right - left, radius_x), _reduced(bottom - top, radius_y)
    seen = None if sky_mask is None else sky_mask[top:bottom, left:right].astype(np.uint8)
    if (columns, rows) != (right - left, bottom - top):
        from observatory.averages import averaged  # numba costs a quarter of a second

        window = averaged(window, rows, columns)
        if seen is not None:
            seen = cv2.resize(seen, (columns, rows), interpolation=cv2.INTER_NEAREST)
    placed = _placed(circle, (left, right, top, bottom), columns, rows)
    is_valid = placed.is_valid
    masks: Masks | None = placed.masks
    if seen is not None:
        is_valid = is_valid & (
            cv2.remap(seen, placed.map_x, placed.map_y, cv2.INTER_NEAREST, borderValue=0) > 0
        )
        masks = _known_masks(is_valid.tobytes())
    laid = _read(window, placed)
    if laid.dtype == np.uint8 and masks is not None:  # bits are cleared ten times as fast as floats
        laid = cv2.bitwise_and(laid, masks.shown if laid.ndim == 2 else masks.shown_in_colour)
    laid = laid.astype(np.float32, copy=False)
    if window.dtype == np.float32:
        is_finite = np.isfinite(laid) if laid.ndim == 2 else np.isfinite(laid).all(axis=2)
        if not is_finite.all():
            is_valid, masks = is_valid & is_finite, None
    if masks is None:
        laid[~is_valid] = 0.0
    elif window.dtype != np.uint8:
        laid *= masks.seen if laid.ndim == 2 else masks.seen[..., None]
    return Square(laid, is_valid, _dark(window), masks)


@dataclass(frozen=True)
class _Placed:
    """Where the fine square's cells lie on a reduced window of a camera's frames."""

    map_x: FloatArray
    map_y: FloatArray
    is_valid: BoolArray
    masks: Masks
    window: tuple[int, int]

    @cached_property
    def places(self) -> Places:
        """The same for pictures of one plane."""
        from observatory.bilinear import Places  # numba costs a quarter of a second

        return Places.of(self.map_x, self.map_y, self.window)


def _read(window: np.ndarray, placed: _Placed) -> np.ndarray:
    """What a window holds at the fine square's cells; 8 bits stay 8 bits, of which OpenCV is fast."""
    if window.ndim == 2 and window.dtype != np.uint8:
        return placed.places.read(window)
    return cv2.remap(window, placed.map_x, placed.map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


@lru_cache(maxsize=16)  # a megabyte or two each
def _placed(circle: Fisheye, window: tuple[int, int, int, int], columns: int, rows: int) -> _Placed:
    left, right, top, bottom = window
    radius_x, radius_y = circle.radius_px, circle.radius_px * circle.aspect
    scale_x, scale_y = columns / (right - left), rows / (bottom - top)
    unit_x, unit_y = _unit_maps(circle.projection, circle.max_zenith_deg)
    map_x = unit_x * np.float32(radius_x * scale_x) + np.float32(
        (circle.center_x_px - left + 0.5) * scale_x - 0.5
    )
    map_y = unit_y * np.float32(radius_y * scale_y) + np.float32(
        (circle.center_y_px - top + 0.5) * scale_y - 0.5
    )
    is_valid = (map_x >= -0.5) & (map_x <= columns - 0.5) & (map_y >= -0.5) & (map_y <= rows - 0.5)
    return _Placed(map_x, map_y, is_valid, _known_masks(is_valid.tobytes()), (rows, columns))


@lru_cache(maxsize=16)
def _known_masks(is_valid: bytes) -> Masks:
    return Masks.of(np.frombuffer(is_valid, bool).reshape(_FINE, _FINE))


def channels(square: Square) -> FloatArray:
    """The seven channels of a square; see `prepare`."""
    from models.aurora.planes import clip_where, sampled, scale_light  # numba costs a quarter of a second

    found = np.zeros((len(CHANNELS), SIDE, SIDE), np.float32)
    masks = Masks.of(square.is_valid) if square.masks is None else square.masks
    if not masks.sampled.size:
        return found
    coarse = cv2.resize(square.pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    if square.pixels.ndim == 3:
        fine = _mean(cv2.split(square.pixels))
        planes = [plane / masks.divisor for plane in cv2.split(coarse)]
        light = _mean(planes)
    else:
        fine, planes = square.pixels, []
        light = coarse / masks.divisor
    light -= square.dark.mean()
    low, middle, high, bright = _quantiles(sampled(light, masks.sampled), (0.01, 0.5, 0.9, 0.99))
    floor = np.float32(max(0.05 * (high - min(low, 0.0)), 1e-30))
    span = bright - low if bright > low else math.inf
    ratio = np.empty_like(light)
    scale_light(
        light, floor, np.float32(max(middle, 0.0) + floor), np.float32(low), np.float32(span), ratio, found[1]
    )
    stops = cv2.log(ratio)  # numpy's takes six times as long
    clip_where(stops, np.float32(STOPS * math.log(2.0)), masks.known, found[0])
    found[1] *= masks.known
    _contrast(light, masks, found[2])
    _points(fine, masks, found[3])
    if planes:
        whole = np.maximum(light, 0.0) + floor
        red, green, blue = (plane - dark for plane, dark in zip(planes, square.dark, strict=True))
        np.clip((green - 0.5 * (red + blue)) / whole, -1.0, 1.0, out=found[4])
        np.clip(0.5 * (red - blue) / whole, -1.0, 1.0, out=found[5])
        found[4:6] *= masks.known
    found[6] = masks.known
    return found


def _mean(planes: Sequence[FloatArray]) -> FloatArray:
    """Mean of three colours, summed in the order in which numpy's mean does."""
    red, green, blue = planes
    total = red + green
    total += blue
    total /= np.float32(3.0)
    return total


def _contrast(light: FloatArray, masks: Masks, found: FloatArray) -> None:
    """Light against the mean of its valid surroundings, in units of four robust deviations."""
    from models.aurora.planes import clip_where, sampled
    from observatory.blurring import blurred

    apart = light * masks.known
    near = blurred(apart, _SURROUNDINGS)
    near /= masks.share
    apart -= near
    deviation = 1.4826 * _quantiles(np.abs(sampled(apart, masks.sampled)), (0.5,))[0]
    if deviation > 0.0:
        clip_where(apart, np.float32(4.0 * deviation), masks.known, found)


def _points(fine: FloatArray, masks: Masks, found: FloatArray) -> None:
    """What stands out from a cell's nearest surroundings: the largest of each two by two fine cells."""
    from models.aurora.planes import largest_of_four, sampled
    from observatory.blurring import blurred

    apart = cv2.GaussianBlur(fine, (5, 5), _POINT)
    apart -= blurred(fine, _AROUND_POINT)
    apart *= masks.inner
    deviation = 1.4826 * _quantiles(np.abs(sampled(apart, masks.finely_sampled)), (0.5,))[0]
    if deviation > 0.0:
        largest_of_four(apart, np.float32(12.0 * deviation), found)


def _quantiles(values: FloatArray, shares: tuple[float, ...]) -> list[float]:
    """Order statistics by partition of the values themselves."""
    ranks = [min(values.size - 1, int(share * values.size)) for share in shares]
    values.partition(ranks)
    return [float(values[rank]) for rank in ranks]


def _thinned(is_valid: BoolArray) -> NDArray[np.intp]:
    """Places of the known cells, every third where there are many: exact enough, and ten times as fast."""
    places = np.flatnonzero(is_valid)
    return places[::3] if places.size > 3000 else places


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


def without_hot_pixels(window: np.ndarray) -> np.ndarray:
    """Grey whole numbers of more than 8 bits without their hot pixels, anything else as it is.

    Left alone, hot pixels are stars that shine through any cloud. Pictures of 8 bits have been smoothed by
    their compression, and floating-point numbers have been calibrated.
    """
    if window.ndim == 3 or window.dtype.kind not in "iu" or window.dtype.itemsize < 2:
        return window
    return hot_pixels.without_hot_pixels(window)


def _dark(window: np.ndarray) -> FloatArray:
    """Darkest hundredth of the circle's bounding box, whose corners see no sky; per colour."""
    step = max(1, int(np.sqrt(window.shape[0] * window.shape[1] / 4000.0)))
    colours = 1 if window.ndim == 2 else 3
    values = window[::step, ::step].reshape(-1, colours)
    if values.dtype.kind == "f":
        values = values[np.isfinite(values).all(axis=1)]
    if not len(values):
        return np.zeros(colours, np.float32)
    place = int(0.01 * len(values))
    return np.array([np.partition(values[:, colour], place)[place] for colour in range(colours)], np.float32)


@lru_cache(maxsize=32)
def _unit_maps(projection: Projection, max_zenith_deg: float) -> tuple[FloatArray, FloatArray]:
    """Pixels (x, y) of the fine square's cells on a lens of radius 1 around 0; far off beyond its reach."""
    zenith, azimuth = geometry_of(Fisheye(0.0, 0.0, 1.0, is_clockwise=True), _FINE).directions((_FINE, _FINE))
    lens = Fisheye(0.0, 0.0, 1.0, max_zenith_deg=max_zenith_deg, projection=projection, is_clockwise=True)
    is_seen = np.nan_to_num(zenith, nan=np.inf) <= min(90.0, max_zenith_deg)
    x, y = lens.pixel(np.where(is_seen, zenith, 0.0), azimuth)
    far = np.float32(-1e6)
    return np.where(is_seen, x, far).astype(np.float32), np.where(is_seen, y, far).astype(np.float32)
