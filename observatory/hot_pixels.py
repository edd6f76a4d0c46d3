"""Single pixels that no lens can have drawn (numpy and OpenCV)."""

from __future__ import annotations

import cv2
import numpy as np

from observatory.robust import median

_OVER_NOISE = 20.0  # in units of the noise: fainter ones drown when pixels are averaged
_WING = 0.04  # of a point's light, in its brightest neighbour
_AROUND = tuple((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0))
_NEIGHBOURS = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.uint8)


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
    step = picture[::4, 1::4].astype(np.float32) - picture[::4, :-1:4][:, : picture[::4, 1::4].shape[1]]
    noise = max(1.05 * median(np.abs(step)), 1.0)  # of two pixels' difference: 1.4826 / sqrt(2)
    brightest = cv2.dilate(picture, _NEIGHBOURS)
    is_above = cv2.subtract(picture, brightest) > int(_OVER_NOISE * noise)
    is_above[[0, -1]] = is_above[:, [0, -1]] = False
    places = np.flatnonzero(is_above)
    if not places.size:
        return picture
    width = picture.shape[1]
    near = picture.ravel().take(places[:, None] + [y * width + x for y, x in _AROUND]).astype(np.float32)
    near.sort(axis=1)
    base = 0.5 * (near[:, 3] + near[:, 4])
    is_hot = near[:, -1] - base < _WING * (picture.ravel().take(places) - base) + 2.0 * noise
    cleaned = picture.copy()
    cleaned.ravel()[places[is_hot]] = base[is_hot].astype(picture.dtype)
    return cleaned
