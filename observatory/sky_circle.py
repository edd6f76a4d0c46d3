"""Finding the sky's circle in an all-sky picture whose camera nothing describes.

The picture is shrunk and its brightness taken logarithmically, so that a bright horizon and a dark one
weigh alike. Circles are then judged by how much of their rim is brighter inside than outside, first
coarsely everywhere, then finely about the best ones; at last a circle, or an ellipse for detectors that
are binned unevenly, is laid through the steepest points of the rim, leaving out trees, lights and letters.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from observatory.fisheye import Fisheye

FloatArray = NDArray[np.float32]

_COARSE_PX, _FINE_PX = 72, 288  # longer side of the shrunken pictures
_THINNED_PX = 640  # large pictures are thinned out to this before they are averaged
_BINNED_UNEVENLY = (
    1.9  # sides with such a ratio: perhaps the detector was binned so, and the circle is an ellipse
)
_LEAST_RADIUS, _LARGEST_RADIUS = 0.28, 0.80  # shares of the shorter and of the longer side
_FARTHEST = 0.22  # of the zenith from the middle of the picture, in sides
_FULL_STEP = 0.35  # natural logarithm of brightness, inside over outside, that counts as a whole step
_LEAST_IN_VIEW = 0.35  # share of the rim that must lie inside the picture
_HIDDEN_COST = 0.5  # what a hidden part of the rim counts against a circle, a part without any step being 1
_LEAST_SCORE = 0.30
_BEST_KEPT = 8


@dataclass(frozen=True)
class _Circle:
    x: float
    y: float
    radius: float
    score: float = 0.0

    def scaled(self, factor: float) -> _Circle:
        x, y = (self.x + 0.5) * factor - 0.5, (self.y + 0.5) * factor - 0.5
        return _Circle(x, y, self.radius * factor, self.score)


def find_circle(pixels: NDArray[np.generic], *, aspect: float | None = None) -> Fisheye | None:
    """Find the circle inside which a picture shows the sky.

    Parameters
    ----------
    pixels : ndarray, shape (height, width) or (height, width, 3)
        Of any number type.
    aspect : float or None
        Radius along a column over that along a row, about, where the camera's pixels are known not to be
        square: then an ellipse is sought. None seeks a circle, and in pictures twice as wide as high, or
        twice as high as wide, also an ellipse like them.

    Returns
    -------
    Fisheye or None
        Its rim is taken for the horizon and its projection for equidistant; the azimuths are not known.
        None where no rim is seen: a black, white or uniform picture, or one that shows a part of the sky.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < 16:
        return None
    found = [_found(pixels, one) for one in ([aspect] if aspect else _likely_aspects(width, height))]
    return max(found, key=lambda one: one[0])[1]


def _likely_aspects(width: int, height: int) -> list[float]:
    ratio = height / width
    return [1.0, ratio] if max(ratio, 1.0 / ratio) >= _BINNED_UNEVENLY else [1.0]


def _found(pixels: NDArray[np.generic], aspect: float) -> tuple[float, Fisheye | None]:
    """Score and geometry of the best circle, once the picture is stretched so that the sky is round."""
    fine, scale_x, scale_y = _shrunk(pixels, aspect)
    best = _search(fine)
    if best is None:
        return -1.0, None
    circle, stretch = _laid_through_rim(fine, best, is_ellipse=aspect != 1.0)
    radius_x, radius_y = circle.radius / scale_x, circle.radius * stretch / scale_y
    return best.score, Fisheye(
        center_x_px=(circle.x + 0.5) / scale_x - 0.5,
        center_y_px=(circle.y + 0.5) / scale_y - 0.5,
        radius_px=radius_x,
        radius_y_px=None if aspect == 1.0 else radius_y,
        source="picture",
    )


def _shrunk(pixels: NDArray[np.generic], aspect: float) -> tuple[FloatArray, float, float]:
    """Logarithmic brightness in which the sky is round, and by what its columns and rows were shrunk."""
    height, width = pixels.shape[:2]
    stride = max(1, max(width, height) // _THINNED_PX)
    grey = pixels[stride // 2 :: stride, stride // 2 :: stride].astype(np.float32)
    if grey.ndim == 3:
        grey = np.asarray(cv2.transform(grey, np.full((1, grey.shape[2]), 1.0 / grey.shape[2], np.float32)))
    grey = np.nan_to_num(grey, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    round_width, round_height = width * min(aspect, 1.0), height / max(aspect, 1.0)
    factor = min(1.0, _FINE_PX / max(round_width, round_height))
    columns, rows = max(16, round(round_width * factor)), max(16, round(round_height * factor))
    small = cv2.medianBlur(cv2.resize(grey, (columns, rows), interpolation=cv2.INTER_AREA), 3)
    return _logarithm(small), columns / width, rows / height


def _logarithm(brightness: FloatArray) -> FloatArray:
    """Logarithm above the picture's own black, softened where there is nothing but noise."""
    black, bright = np.percentile(brightness[::2, ::2], (0.5, 98.0))
    noise = np.median(np.abs(brightness - cv2.blur(brightness, (3, 3))))
    soft = max(0.004 * (bright - black), 4.0 * noise, 1e-6 * abs(bright), 1e-30)
    return np.log(np.maximum(brightness - black, 0.0) + soft).astype(np.float32)


def _search(fine: FloatArray) -> _Circle | None:
    """Best circle: coarsely everywhere, then finer and finer about the best ones."""
    largest = max(fine.shape)
    coarse, middle = (_resized(fine, min(1.0, side / largest)) for side in (_COARSE_PX, 2 * _COARSE_PX))
    rows, columns = coarse.shape
    reach = np.arange(-_FARTHEST, _FARTHEST, 2.5 / max(rows, columns)) * max(rows, columns)
    radii = np.arange(_LEAST_RADIUS * min(rows, columns), _LARGEST_RADIUS * max(rows, columns), 1.5)
    best = _best_apart(_scores(coarse, columns / 2 - 0.5 + reach, rows / 2 - 0.5 + reach, radii, 40), 3.0)
    moves = np.arange(-2.0, 2.1)
    before = coarse
    for image, azimuths in ((middle, 60), (fine, 90)):
        factor = image.shape[1] / before.shape[1]
        near = [circle.scaled(factor) for circle in best]
        found = [
            _best_apart(_scores(image, c.x + moves, c.y + moves, c.radius + moves, azimuths), np.inf)
            for c in near
        ]
        best, before = [circle for few in found for circle in few], image
    winner = max(best, key=lambda circle: circle.score, default=None)
    return winner if winner is not None and winner.score >= _LEAST_SCORE else None


def _resized(image: FloatArray, factor: float) -> FloatArray:
    if factor == 1.0:
        return image
    return np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA))


@dataclass(frozen=True)
class _Scores:
    """Scores of all circles about some centres with some radii; axes y, x, radius."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    radii: NDArray[np.float64]
    values: FloatArray


def _scores(
    image: FloatArray,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    radii: NDArray[np.float64],
    azimuths: int,
) -> _Scores:
    """Score circles by the step that brightness takes across their rims.

    A step counts no more than a whole one: a lamp at the horizon does not outweigh the rest of the rim.
    """
    angles = np.arange(azimuths) * (2.0 * np.pi / azimuths)
    cosine, sine = np.cos(angles), np.sin(angles)
    inner, is_seen = _sampled(image, x, y, radii - 1.5, cosine, sine)
    outer, is_outer_seen = _sampled(image, x, y, radii + 1.5, cosine, sine)
    is_seen &= is_outer_seen
    steps = np.clip((inner - outer) / _FULL_STEP, -1.0, 1.0) * is_seen
    in_view = is_seen.sum(axis=-1)
    values = steps.sum(axis=-1) / np.maximum(in_view + _HIDDEN_COST * (azimuths - in_view), 1)
    return _Scores(x, y, radii, np.where(in_view >= _LEAST_IN_VIEW * azimuths, values, -1.0))


def _sampled(
    image: FloatArray,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    radii: NDArray[np.float64],
    cosine: NDArray[np.float64],
    sine: NDArray[np.float64],
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Nearest pixels along circles, and which of them lie in the picture; axes y, x, radius, azimuth."""
    right = np.rint(x[:, None, None] + radii[:, None] * cosine).astype(np.int32)
    down = np.rint(y[:, None, None] + radii[:, None] * sine).astype(np.int32)
    height, width = image.shape
    is_in_x, is_in_y = (right >= 0) & (right < width), (down >= 0) & (down < height)
    place = np.clip(down, 0, height - 1)[:, None] * width + np.clip(right, 0, width - 1)[None]
    return image.ravel()[place], is_in_y[:, None] & is_in_x[None]


def _best_apart(scores: _Scores, apart_px: float) -> list[_Circle]:
    """Best circles, no two of which are nearly the same; only the best one where `apart_px` is infinite."""
    kept: list[_Circle] = []
    values = scores.values
    for place in np.argsort(values, axis=None)[::-1][: 1 if np.isinf(apart_px) else 400]:
        row, column, size = (int(axis) for axis in np.unravel_index(int(place), values.shape))
        x, y, radius = float(scores.x[column]), float(scores.y[row]), float(scores.radii[size])
        circle = _Circle(x, y, radius, float(values[row, column, size]))
        difference = [
            max(abs(circle.x - other.x), abs(circle.y - other.y), abs(circle.radius - other.radius))
            for other in kept
        ]
        if not difference or min(difference) > apart_px:
            kept.append(circle)
        if len(kept) == _BEST_KEPT:
            break
    return kept


def _laid_through_rim(image: FloatArray, start: _Circle, *, is_ellipse: bool) -> tuple[_Circle, float]:
    """Circle through the steepest points near a first one's rim, and its height over its width.

    Points far from the others' circle (trees, lights, letters) are weighed down until they count nothing
    (Tukey's biweight).
    """
    x, y, _ = _rim_points(image, start)
    if len(x) < 12:
        return start, 1.0
    circle = _fitted(x, y, start, is_ellipse=False)
    around = np.histogram(np.arctan2(y - circle[1], x - circle[0]), 12, (-np.pi, np.pi))[0]
    if is_ellipse and np.count_nonzero(around >= 3) >= 10:  # a part of a rim says little of its flattening
        circle = _fitted(x, y, start, is_ellipse=True)
    cx, cy, rx, ry = circle
    moved = max(abs(cx - start.x), abs(cy - start.y), abs(rx - start.radius))
    if moved > 0.06 * start.radius or not 0.93 < ry / rx < 1.08:
        return start, 1.0
    return _Circle(cx, cy, rx, start.score), ry / rx


def _rim_points(
    image: FloatArray, circle: _Circle
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Places and sizes of the steepest step outwards on each of 180 rays, where there is a clear one."""
    angles = np.arange(180) * (2.0 * np.pi / 180)
    width = max(4.0, 0.05 * circle.radius)
    radii = circle.radius + np.arange(-width - 1.5, width + 1.6, 0.5)
    right = (circle.x + np.outer(np.cos(angles), radii)).astype(np.float32)
    down = (circle.y + np.outer(np.sin(angles), radii)).astype(np.float32)
    along = cv2.remap(
        image, right, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=float("nan")
    )
    steps = along[:, :-6] - along[:, 6:]
    steps = np.where(np.isfinite(steps), steps, -1.0)
    best = steps.argmax(axis=1)
    sizes = steps[np.arange(len(angles)), best]
    is_clear = sizes > 0.35 * _FULL_STEP
    distance = radii[best + 3]
    x = circle.x + distance * np.cos(angles)
    y = circle.y + distance * np.sin(angles)
    return x[is_clear], y[is_clear], sizes[is_clear]


def _fitted(
    x: NDArray[np.float64], y: NDArray[np.float64], start: _Circle, *, is_ellipse: bool
) -> tuple[float, float, float, float]:
    """Centre and half axes of the circle or upright ellipse through points, by weighted least squares."""
    u, v = (x - start.x) / start.radius, (y - start.y) / start.radius
    columns = [u, v, np.ones_like(u)] + ([v * v - u * u] if is_ellipse else [])
    matrix, wanted = np.stack(columns, axis=1), -(u * u + v * v)
    weights = np.ones_like(u)
    for _ in range(8):
        solution = np.linalg.lstsq(matrix * weights[:, None], wanted * weights, rcond=None)[0]
        misfit = np.abs(matrix @ solution - wanted)
        spread = max(4.685 * 1.483 * float(np.median(misfit)), 0.01)
        weights = np.clip(1.0 - (misfit / spread) ** 2, 0.0, None)
    d, e, f = solution[:3]
    flat = solution[3] if is_ellipse else 0.0
    a, b = 1.0 - flat, 1.0 + flat  # a u2 + b v2 + d u + e v + f = 0
    level = d * d / (4 * a) + e * e / (4 * b) - f
    return (
        start.x - d / (2 * a) * start.radius,
        start.y - e / (2 * b) * start.radius,
        float(np.sqrt(max(level / a, 1e-9))) * start.radius,
        float(np.sqrt(max(level / b, 1e-9))) * start.radius,
    )
