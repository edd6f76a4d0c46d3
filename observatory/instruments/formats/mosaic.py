"""Colours of a detector that sees each pixel through one filter of a mosaic (Bayer 1976, US patent 3 971 065)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from observatory.hot_pixels import without_hot_pixels
from observatory.robust import median

_CODES = {
    "RGGB": cv2.COLOR_BayerRGGB2RGB,
    "BGGR": cv2.COLOR_BayerBGGR2RGB,
    "GRBG": cv2.COLOR_BayerGRBG2RGB,
    "GBRG": cv2.COLOR_BayerGBRG2RGB,
}
_LEAST_SIDE = 8  # pixels: of smaller pictures nobody can tell what is hot
_SPARSE = 4  # every fourth row and column of a filter's tells its level
_QUARTER = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32) / 4  # one pixel of four has the colour
_HALF = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]], np.float32) / 4  # one of two: green


def mosaic_of(header: Mapping[str, Any], height: int) -> str | None:
    """Filters over the first two pixels of the first row and of the second, as they are stored.

    BAYERPAT, or COLORTYP, names them from the upper left corner of the detector, whose row is the first that is
    stored unless ROWORDER says BOTTOM-UP; XBAYROFF and YBAYROFF tell by how many pixels they are shifted. These
    are no keywords of the standard, but what the programs that take such pictures have agreed on (documentation
    of Siril, "Orientation of FITS images").

    Parameters
    ----------
    header : Mapping
    height : int
        Rows of the picture.

    Returns
    -------
    str or None
        ``RGGB``, ``BGGR``, ``GRBG`` or ``GBRG``; None where the header names no mosaic.
    """
    named = (str(header.get(key, "")).strip().upper() for key in ("BAYERPAT", "COLORTYP"))
    pattern = next((name for name in named if name in _CODES), None)
    if pattern is None:
        return None
    down, right = _whole(header.get("YBAYROFF")), _whole(header.get("XBAYROFF"))
    if str(header.get("ROWORDER", "")).strip().upper() == "BOTTOM-UP":
        down += height - 1
    return "".join(pattern[(y + down) % 2 * 2 + (x + right) % 2] for y in (0, 1) for x in (0, 1))


def _whole(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0


def demosaiced(pixels: np.ndarray, mosaic: str) -> np.ndarray:
    """Red, green and blue of every pixel, the missing two as means of its nearest neighbours that have them.

    Of unsigned numbers hot pixels are left out: spread over their neighbours they could not be told from stars.

    Parameters
    ----------
    pixels : ndarray, shape (height, width)
        At least two pixels a side.
    mosaic : str
        See `mosaic_of`.

    Returns
    -------
    ndarray, shape (height, width, 3)
        Unsigned numbers of 8 and 16 bits stay so, others become float32.
    """
    if pixels.dtype in (np.uint8, np.uint16):
        return np.asarray(cv2.cvtColor(_without_hot_pixels(pixels), _CODES[mosaic]))
    planes = []
    for colour, kernel in zip("RGB", (_QUARTER, _HALF, _QUARTER), strict=True):
        alone = np.zeros(pixels.shape, np.float32)
        for number, name in enumerate(mosaic):
            if name == colour:
                part = slice(number // 2, None, 2), slice(number % 2, None, 2)
                alone[part] = pixels[part]
        planes.append(cv2.filter2D(alone, -1, kernel, borderType=cv2.BORDER_REFLECT_101))
    return np.asarray(cv2.merge(planes))


def _without_hot_pixels(pixels: np.ndarray) -> np.ndarray:
    """A mosaic without its hot pixels, sought where all of its filters let as much light through."""
    cleaned = np.array(pixels, order="C")
    if min(pixels.shape) < _LEAST_SIDE:
        return cleaned
    parts = [(slice(y, None, 2), slice(x, None, 2)) for y in (0, 1) for x in (0, 1)]
    levels = [max(median(pixels[part][::_SPARSE, ::_SPARSE]), 1.0) for part in parts]
    factors = [max(levels) / level for level in levels]
    even = np.empty(pixels.shape, np.uint16)
    for part, factor in zip(parts, factors, strict=True):
        even[part] = np.minimum(pixels[part] * np.float32(factor) + np.float32(0.5), 65535.0)
    found = without_hot_pixels(even)
    if found is even:
        return cleaned
    for part, factor in zip(parts, factors, strict=True):
        is_hot = found[part] != even[part]
        cleaned[part][is_hot] = found[part][is_hot] / factor
    return cleaned
