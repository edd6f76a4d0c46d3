"""Finding the sky's circle in an all-sky picture whose camera nothing describes.

The picture is shrunk and its brightness taken logarithmically, so that a bright horizon and a dark one
weigh alike. Circles are then judged by how much of their rim is brighter inside than outside, first
coarsely everywhere, then finely about the best ones; at last a circle, or an ellipse for detectors that
are binned unevenly, is laid through the steepest points of the rim, leaving out trees, lights and letters.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from types import ModuleType

import cv2
import numpy as np
from numpy.typing import NDArray

from observatory.fisheye import Fisheye

FloatArray = NDArray[np.float32]

_COARSE_PX, _FINE_PX = 72, 288  # longer side of the shrunken pictures
_THINNED_PX = 640  # large pictures are thinned out to this before they are averaged
_BINNED_UNEVENLY = 1.7  # sides with such a ratio: perhaps the detector was, and the sky is an ellipse
_CLEARLY_BETTER = 0.2  # score of an ellipse over a circle: round skies are shown 16 to 9, too
_LEAST_RADIUS, _LARGEST_RADIUS = 0.28, 0.80  # shares of the shorter and of the longer side
_FARTHEST = 0.22  # of the zenith from the middle of the picture, in sides
_FULL_STEP = np.float32(
    0.35
)  # natural logarithm of brightness, inside over outside, that counts as a whole step
_LEAST_IN_VIEW = 0.35  # share of the rim that must lie inside the picture
_HIDDEN_COST = 0.5  # what a hidden part of the rim counts against a circle, a part without any step being 1
_LEAST_SCORE = 0.30
_LEAST_RIM = 0.5  # share of the rim in view that must be seen: less is a part of a sky, or no sky
_ON_RIM = 0.02  # of the radius that a point may lie beside it
_BEST_KEPT = 8
_LEAST_SPREAD, _ROUNDS = 0.01, 8  # of the fit through the rim's points


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
        square: then an ellipse is sought. None seeks a circle, and in pictures about twice as wide as high,
        or as high as wide, also an ellipse like them.

    Returns
    -------
    Fisheye or None
        Its rim is taken for the horizon and its projection for equidistant; the azimuths are not known.
        None where no rim is seen: a black, white or uniform picture, or one that shows a part of the sky.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < 16:
        return None
    if aspect is not None:
        return _found(pixels, aspect)[1]
    score, fisheye = _found(pixels, 1.0)
    if max(width, height) >= _BINNED_UNEVENLY * min(width, height) and score < 1.0 - _CLEARLY_BETTER:
        flat_score, flat = _found(pixels, 0.5 if width > height else 2.0)
        if flat_score > score + _CLEARLY_BETTER:
            return flat
    return fisheye


def _found(pixels: NDArray[np.generic], aspect: float) -> tuple[float, Fisheye | None]:
    """Score and geometry of the best circle, once the picture is stretched so that the sky is round."""
    fine, scale_x, scale_y = _shrunk(pixels, aspect)
    best = _search(fine)
    if best is None:
        return -1.0, None
    circle, stretch = _laid_through_rim(fine, best, is_ellipse=aspect != 1.0)
    if circle is None:
        return -1.0, None
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
    thinned = pixels[stride // 2 :: stride, stride // 2 :: stride]
    if thinned.dtype == np.uint8 and max(thinned.shape[:2]) >= 2 * _FINE_PX and _is_bright(thinned):
        # Two by two is what OpenCV averages fastest; the half count that rounding costs is seen in the dark only.
        thinned = cv2.resize(thinned, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    if thinned.dtype.kind == "f" or thinned.dtype.itemsize > 2:
        thinned = np.nan_to_num(thinned.astype(np.float32), copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    round_width, round_height = width * min(aspect, 1.0), height / max(aspect, 1.0)
    factor = min(1.0, _FINE_PX / max(round_width, round_height))
    columns, rows = max(16, round(round_width * factor)), max(16, round(round_height * factor))
    from observatory.averages import averaged  # numba costs a quarter of a second: only where it is needed

    small = averaged(thinned, rows, columns, np.float32)
    if small.ndim == 3:
        small = cv2.transform(small, np.full((1, small.shape[2]), 1.0 / small.shape[2], np.float32))
    small = cv2.medianBlur(small, 3)
    return _logarithm(small), columns / width, rows / height


@cache
def _rims() -> ModuleType:
    from observatory import rims

    return rims


def _is_bright(pixels: NDArray[np.generic]) -> bool:
    return float(np.median(pixels[::32, ::32].astype(np.float32))) >= 24.0


def _logarithm(brightness: FloatArray) -> FloatArray:
    """Logarithm above the picture's own black, softened where there is nothing but noise."""
    black, bright = _order(brightness[::3, ::3], 0.005, 0.98)
    apart = brightness[1::3] - cv2.blur(brightness, (3, 3))[1::3]
    noise = _order(np.abs(apart[:, ::2]), 0.5)[0]
    soft = max(0.004 * (bright - black), 4.0 * noise, 1e-6 * abs(bright), 1e-30)
    lifted = np.maximum(brightness - np.float32(black), np.float32(0.0))
    lifted += np.float32(soft)
    return np.asarray(cv2.log(lifted))


def _order(values: FloatArray, *shares: float) -> list[float]:
    """Order statistics, by partition."""
    flat = values.ravel()
    places = [min(flat.size - 1, int(share * flat.size)) for share in shares]
    parted = np.partition(flat, places)
    return [float(parted[place]) for place in places]


def _search(fine: FloatArray) -> _Circle | None:
    """Best circle: coarsely everywhere, then finer and finer about the best ones."""
    largest = max(fine.shape)
    coarse, middle = (_resized(fine, min(1.0, side / largest)) for side in (_COARSE_PX, 2 * _COARSE_PX))
    best = _best_apart(_everywhere(coarse), 3.0)
    before = coarse
    for image, azimuths, kept in ((middle, 60, 3), (fine, 90, 1)):
        factor = image.shape[1] / before.shape[1]
        best = _moved(image, [circle.scaled(factor) for circle in best], azimuths)[:kept]
        before = image
    return best[0] if best and best[0].score >= _LEAST_SCORE else None


def _resized(image: FloatArray, factor: float) -> FloatArray:
    if factor == 1.0:
        return image
    return np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA))


@dataclass(frozen=True)
class _Grid:
    """Circles that are looked at everywhere in pictures of one shape, and the pixels beside their rims.

    Attributes
    ----------
    circles : ndarray, shape (n, 3)
        x, y and radius; only circles of which enough is in view.
    inner, outer : ndarray, shape (azimuths, n), int32
        Places in the picture's flat pixels; both the same where one of them is not in the picture.
    weight : ndarray, shape (n,), float32
        One over what the sum of the steps is divided by.
    """

    circles: NDArray[np.float64]
    inner: NDArray[np.int32]
    outer: NDArray[np.int32]
    weight: FloatArray


@lru_cache(maxsize=16)
def _grid(rows: int, columns: int) -> _Grid:
    azimuths = 40
    reach = np.arange(-_FARTHEST, _FARTHEST, 2.5 / max(rows, columns)) * max(rows, columns)
    radii = np.arange(_LEAST_RADIUS * min(rows, columns), _LARGEST_RADIUS * max(rows, columns), 1.5)
    axes = np.meshgrid(columns / 2 - 0.5 + reach, rows / 2 - 0.5 + reach, radii, indexing="ij")
    circles = np.stack([axis.ravel() for axis in axes], axis=1)
    inner, outer, is_seen = _beside_rim((rows, columns), circles, azimuths)
    in_view = is_seen.sum(axis=0)
    is_kept = in_view >= _LEAST_IN_VIEW * azimuths
    inner, outer = (np.where(is_seen, place, 0)[:, is_kept] for place in (inner, outer))
    return _Grid(circles[is_kept], inner, outer, _weight(in_view[is_kept], azimuths))


def _beside_rim(
    shape: tuple[int, int], circles: NDArray[np.float64], azimuths: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.bool_]]:
    """Places of the nearest pixels inside and outside of rims, and where both lie in the picture.

    Each has the shape (azimuths, circles); places out of the picture are pulled to its edge.
    """
    angles = (np.arange(azimuths) * (2.0 * np.pi / azimuths))[:, None]
    cosine, sine = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    x, y, radius = circles.astype(np.float32).T
    places, seen = [], []
    for reach in (radius - np.float32(1.5), radius + np.float32(1.5)):
        right, down = (
            np.rint(x + reach * cosine).astype(np.int32),
            np.rint(y + reach * sine).astype(np.int32),
        )
        inside_x, inside_y = np.clip(right, 0, shape[1] - 1), np.clip(down, 0, shape[0] - 1)
        seen.append((inside_x == right) & (inside_y == down))
        places.append(inside_y * np.int32(shape[1]) + inside_x)
    return places[0], places[1], seen[0] & seen[1]


def _weight(in_view: NDArray[np.intp], azimuths: int) -> FloatArray:
    """One over the rim in view, a hidden part counting `_HIDDEN_COST`."""
    counted = np.maximum(in_view + _HIDDEN_COST * (azimuths - in_view), 1.0)
    return np.asarray(1.0 / counted, np.float32)


def _everywhere(image: FloatArray) -> tuple[NDArray[np.float64], FloatArray]:
    """Circles all over a picture, and how much of their rims is brighter inside than outside."""
    grid = _grid(*image.shape)
    found = np.empty(len(grid.circles), np.float32)
    _rims().mean_steps(image.ravel(), grid.inner, grid.outer, grid.weight, _FULL_STEP, found)
    return grid.circles, found


def _best_apart(scored: tuple[NDArray[np.float64], FloatArray], apart_px: float) -> list[_Circle]:
    """Best circles, no two of which are nearly the same."""
    circles, values = scored
    kept = np.empty(_BEST_KEPT, np.int64)
    places = kept[: _rims().best_apart(circles, values.copy(), apart_px, _BEST_KEPT, kept)]
    return [_circle(circles[place], float(values[place])) for place in places]


def _moved(image: FloatArray, near: list[_Circle], azimuths: int) -> list[_Circle]:
    """The best circle within two pixels of each of some, best first."""
    if not near:
        return []
    given = np.array([(circle.x, circle.y, circle.radius) for circle in near])
    found = np.empty((len(near), 4))
    _rims().best_moved(image, given, azimuths, _FULL_STEP, _HIDDEN_COST, _LEAST_IN_VIEW, found)
    best = [_circle(each[:3], float(each[3])) for each in found]
    return sorted(best, key=lambda circle: -circle.score)


def _circle(axes: NDArray[np.float64], score: float) -> _Circle:
    x, y, radius = axes.tolist()
    return _Circle(x, y, radius, score)


def _laid_through_rim(image: FloatArray, start: _Circle, *, is_ellipse: bool) -> tuple[_Circle | None, float]:
    """Circle through the steepest points near a first one's rim, and its height over its width.

    Points far from the others' circle (trees, lights, letters) are weighed down until they count nothing
    (Tukey's biweight). None where too few points lie on the circle: then it is none.
    """
    x, y, in_view = _rim_points(image, start)
    cx, cy, rx, ry = start.x, start.y, start.radius, start.radius
    if len(x) >= 12:
        circle = _fitted(x, y, start, is_ellipse=False)
        around = np.histogram(np.arctan2(y - circle[1], x - circle[0]), 12, (-np.pi, np.pi))[0]
        if (
            is_ellipse and np.count_nonzero(around >= 3) >= 10
        ):  # a part of a rim says little of its flattening
            circle = _fitted(x, y, start, is_ellipse=True)
        moved = max(abs(circle[0] - cx), abs(circle[1] - cy), abs(circle[2] - rx))
        if moved <= 0.06 * start.radius and 0.93 < circle[3] / circle[2] < 1.08:
            cx, cy, rx, ry = circle
    beside = np.abs(np.hypot((x - cx) / rx, (y - cy) / ry) - 1.0)
    if np.count_nonzero(beside < _ON_RIM + 1.0 / rx) < _LEAST_RIM * in_view:
        return None, 1.0
    return _Circle(float(cx), float(cy), float(rx), start.score), float(ry / rx)


def _rim_points(image: FloatArray, circle: _Circle) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Place of the steepest step outwards on each of 180 rays where it is clear, and how many rays see the rim."""
    angles = np.arange(180) * (2.0 * np.pi / 180)
    width = max(4.0, 0.05 * circle.radius)
    radii = circle.radius + np.arange(-width - 1.5, width + 1.6, 0.5)
    right = (circle.x + np.outer(np.cos(angles), radii)).astype(np.float32)
    down = (circle.y + np.outer(np.sin(angles), radii)).astype(np.float32)
    along = cv2.remap(
        image, right, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=float("nan")
    )
    steps = along[:, :-6] - along[:, 6:]
    in_view = int(np.isfinite(steps[:, steps.shape[1] // 2]).sum())
    steps = np.where(np.isfinite(steps), steps, -1.0)
    best = steps.argmax(axis=1)
    sizes = steps[np.arange(len(angles)), best]
    is_clear = sizes > 0.35 * _FULL_STEP
    distance = radii[best + 3]
    x = circle.x + distance * np.cos(angles)
    y = circle.y + distance * np.sin(angles)
    return x[is_clear], y[is_clear], in_view


def _fitted(
    x: NDArray[np.float64], y: NDArray[np.float64], start: _Circle, *, is_ellipse: bool
) -> tuple[float, float, float, float]:
    """Centre and half axes of the circle or upright ellipse through points, by weighted least squares."""
    u, v = (x - start.x) / start.radius, (y - start.y) / start.radius
    d, e, f, flat = _rims().conic_through(u, v, is_ellipse, _LEAST_SPREAD, _ROUNDS).tolist()
    a, b = 1.0 - flat, 1.0 + flat  # a u2 + b v2 + d u + e v + f = 0
    level = d * d / (4 * a) + e * e / (4 * b) - f
    return (
        start.x - d / (2 * a) * start.radius,
        start.y - e / (2 * b) * start.radius,
        float(np.sqrt(max(level / a, 1e-9))) * start.radius,
        float(np.sqrt(max(level / b, 1e-9))) * start.radius,
    )
