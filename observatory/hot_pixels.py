"""Single pixels that no lens can have drawn (numpy and OpenCV)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from observatory.robust import median

_OVER_NOISE = 20.0  # in units of the noise: fainter ones drown when pixels are averaged
_WING = 0.04  # of a point's light, in its brightest neighbour
_RING = np.pad(np.zeros((3, 3), np.uint8), 1, constant_values=1)
_STANDS_OUT = 6.0  # in units of the noise
_WINDOW = (7, 7)
_TYPES = (np.uint8, np.uint16, np.int16, np.float32)  # what OpenCV dilates


def without_hot_pixels(picture: np.ndarray) -> np.ndarray:
    """A picture with its hot pixels set to their surroundings.

    A star has wings: its brightest neighbour holds a tenth of its light or more, that of a hot pixel none.

    Parameters
    ----------
    picture : ndarray of uint8, uint16 or int16, shape (height, width)
        At least six pixels a side. Pixels at its edges are left as they are: their neighbours are not all known.

    Returns
    -------
    ndarray
        The picture itself where no pixel is hot.
    """
    from observatory.lone_pixels import mend, places_above  # numba costs a quarter of a second

    step = picture[::4, 1::4].astype(np.float32) - picture[::4, :-1:4][:, : picture[::4, 1::4].shape[1]]
    noise = max(1.05 * median(np.abs(step)), 1.0)  # of two pixels' difference: 1.4826 / sqrt(2)
    places = places_above(picture, int(_OVER_NOISE * noise))
    if not places.size:
        return picture
    cleaned = picture.copy()
    mend(picture.ravel(), picture.shape[1], places, _WING, 2.0 * noise, cleaned.ravel())
    return cleaned


def standing_out(picture: np.ndarray) -> NDArray[np.bool_]:
    """Pixels that are brighter, by six times the noise, than all that is two pixels off: stars, and hot ones.

    Parameters
    ----------
    picture : ndarray, shape (height, width) or (height, width, 3)
        Of colours the brightest counts.
    """
    light = picture if picture.ndim == 2 else picture.max(axis=2)
    if light.dtype not in _TYPES:
        light = np.nan_to_num(light.astype(np.float32), posinf=0.0, neginf=0.0)
    light = np.ascontiguousarray(light)
    step = np.abs(np.diff(light[::4].astype(np.float32), axis=1))
    noise = max(1.05 * median(step), 1.0 if light.dtype.kind in "iu" else 0.0)
    return np.asarray(cv2.subtract(light, cv2.dilate(light, _RING)) > _STANDS_OUT * noise)


def filled(pixels: np.ndarray, is_hot: NDArray[np.bool_]) -> np.ndarray:
    """A picture in which some pixels are set to the mean of the others within three pixels.

    Parameters
    ----------
    pixels : ndarray, shape (height, width) or (height, width, 3)
    is_hot : ndarray of bool, shape (height, width)

    Returns
    -------
    ndarray
        Of the same type; pixels without another one that near stay as they are.
    """
    known = (~is_hot).astype(np.float32)
    weight = cv2.boxFilter(known, -1, _WINDOW, normalize=False)
    is_filled = is_hot & (weight > 0.5)
    mean = np.zeros(pixels.shape, np.float32)
    for plane, into in zip(_planes(pixels), _planes(mean), strict=True):
        into[...] = cv2.boxFilter(np.where(is_hot, 0, plane).astype(np.float32), -1, _WINDOW, normalize=False)
    result = pixels.copy()
    share = weight[is_filled] if pixels.ndim == 2 else weight[is_filled][:, None]
    found = mean[is_filled] / share
    result[is_filled] = found if pixels.dtype.kind == "f" else np.round(found)
    return result


def _planes(pixels: np.ndarray) -> list[np.ndarray]:
    return [pixels] if pixels.ndim == 2 else [pixels[..., colour] for colour in range(pixels.shape[2])]
