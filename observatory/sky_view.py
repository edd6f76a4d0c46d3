"""How an all-sky frame is looked at: at what size, where on it the sky lies, and which side is north."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from observatory.fisheye import Fisheye
from observatory.frame import Frame, RowOrder
from observatory.sky_circle import find_circle

LEAST_SIDE_PX = 320
"""Of a picture that has been made smaller for its analysis."""
_MOST_HALVINGS = 2
_LARGEST = 1e15  # counts, or any unit: squares of larger numbers no longer fit
_AVERAGED_TYPES = (np.uint8, np.int16, np.uint16, np.float32)  # what OpenCV resizes

AXES = NDArray[np.float64]
"""Shape (2, 2): the picture's (right, down) of a pixel's (x, y), both from the zenith."""


def as_seen(circle: Fisheye, row_order: RowOrder) -> Fisheye:
    """Geometry with azimuths for a camera of which only the zenith distances are known.

    The top of the picture then stands for north and its left for east, as for a camera that was set up so.
    An oriented camera's geometry is given back as it is.
    """
    if circle.is_oriented:
        return circle
    if row_order is RowOrder.TOP:
        return replace(circle, up_azimuth_deg=0.0, is_clockwise=False)
    return replace(circle, up_azimuth_deg=180.0, is_clockwise=True)


def picture_axes(frame: Frame) -> AXES | None:
    """How the axes of an oriented frame lie in its picture; None where its azimuths are not known.

    A camera that is binned unevenly stays so in its picture: it is turned on the sky, not on the detector.
    """
    circle = frame.fisheye
    if circle is None or not circle.is_oriented:
        return None
    angle = np.radians(circle.up_azimuth_deg)
    cos, sin = np.cos(angle), np.sin(angle)
    # North and west of a pixel that lies (right, down) of the zenith, both in radii.
    handed = 1.0 if circle.is_clockwise else -1.0
    turned = np.array([[-handed * cos, sin], [handed * sin, cos]])
    stretch = np.diag([1.0, circle.aspect])
    return np.asarray(stretch @ turned @ np.linalg.inv(stretch))


def circle_of(frame: Frame) -> Fisheye | None:
    """Where the sky lies on a frame: what is known of the camera, else what the picture shows, else None."""
    return frame.fisheye if frame.fisheye is not None else find_circle(frame.pixels)


def halvings(shape: tuple[int, ...]) -> int:
    """How often a picture is halved before it is analysed: its shorter side stays above `LEAST_SIDE_PX`."""
    side, times = min(shape[:2]), 0
    while side // 2 >= LEAST_SIDE_PX and times < _MOST_HALVINGS:
        side, times = side // 2, times + 1
    return times


def for_analysis(frame: Frame) -> Frame:
    """The frame as it is analysed: large pictures averaged two by two, or four by four.

    Analyses look at a sky of some 256 pixels across; the averages are those that the preview is made of.
    Numbers of odd types, infinite and absurd ones become ones that can be reckoned with, or NaN.
    """
    plain = _plain(frame.pixels)
    if plain is not frame.pixels:
        frame = replace(frame, pixels=plain)
    times = halvings(frame.pixels.shape)
    if not times:
        return frame
    pixels = frame.halved if times == 1 else frame.quartered
    if pixels is None:
        pixels = _averaged(frame.pixels, 2**times)
    return shrunk(frame, pixels)


def shrunk(frame: Frame, pixels: np.ndarray) -> Frame:
    """A frame that holds the same picture a whole number of times smaller, with its geometry and mask."""
    mask = frame.sky_mask
    if mask is not None:
        size = (pixels.shape[1], pixels.shape[0])
        mask = cv2.resize(mask.view(np.uint8), size, interpolation=cv2.INTER_NEAREST).view(np.bool_)
    circle = None if frame.fisheye is None else frame.fisheye.scaled(1.0 / reduction(frame, pixels))
    return replace(frame, pixels=pixels, sky_mask=mask, fisheye=circle)


def reduction(frame: Frame, pixels: np.ndarray) -> int:
    """How many times smaller a picture of a frame is, 1 where it is as large.

    A whole number, though the widths may have another ratio: a last column that fills no square of pixels is
    left out, or makes one of its own.
    """
    return round(frame.width / pixels.shape[1])


def _plain(pixels: np.ndarray) -> np.ndarray:
    """Pixels of a type that OpenCV takes, in native byte order; floating-point numbers finite or NaN."""
    if pixels.dtype.kind == "b":
        return pixels.view(np.uint8) * np.uint8(255)
    if pixels.dtype in _AVERAGED_TYPES and pixels.dtype.isnative:
        if pixels.dtype.kind in "iu" or (np.abs(pixels) < _LARGEST).all():
            return pixels
    elif pixels.dtype.kind in "iu" and pixels.dtype.itemsize <= 2:
        native = pixels.astype(pixels.dtype.newbyteorder("="))
        return native if native.dtype in _AVERAGED_TYPES else native.astype(np.int16)
    return np.where(np.abs(pixels) < _LARGEST, pixels, np.nan).astype(np.float32)


def _averaged(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Means of squares of pixels; a last row or column that does not fill one is left out."""
    height, width = pixels.shape[0] // factor, pixels.shape[1] // factor
    whole = pixels[: height * factor, : width * factor]
    if whole.dtype not in _AVERAGED_TYPES or not whole.dtype.isnative:
        whole = whole.astype(np.float32)
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA))
