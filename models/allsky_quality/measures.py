"""What an all-sky frame's pixels say: light, noise, holes, saturation, glare, colour (numpy, OpenCV).

Shares are of the sky above some ten degrees, 0 to 1; brightness is a share of the largest value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from models.allsky_quality.plane import SKY_RADII, Plane, grey_of, largest_of, plane_of
from observatory.fisheye import Fisheye
from observatory.frame import Frame
from observatory.robust import median, quantile

FloatArray = NDArray[np.floating]
BoolArray = NDArray[np.bool_]
_Window = tuple[slice, slice]

_NOISE_LINES = 24  # rows on which noise is measured
_CORE = 0.6  # of the peak's height above the sky: what belongs to the Moon itself
_MOST_CORE = 0.05  # of the sky: a larger one is no Moon, but a cloud or the dawn,
_MOST_BURNT = 0.15  # unless it is round: a burnt Moon
_ROUND = 1.5  # length over width
_HALO = 2.0  # times the dark part of the sky: what the Moon lights up
_DRAWN_OUT = 3.0  # length over width of what is no Moon
_BLURRED = 1.5  # cells
_LINES_OF_ONE_VALUE = 96  # rows, and columns, that are looked through
_LEAST_DEAD = 12  # pixels of a line that are one value


@dataclass(frozen=True)
class Glare:
    """The brightest compact light in a sky: the Moon, a lamp, a fireball.

    Attributes
    ----------
    core : float
        Share of the sky that it covers itself.
    halo : float
        Share that it lights up to twice the dark part of the sky and more.
    saturated : float
        Share of its core at the largest value.
    contrast : float
        Its height over the sky's median, both above the dark level.
    green : float
        Excess of green over the mean of red and blue in core and halo, as a share of their light.
    where : ndarray of bool
        Cells of core and halo.
    """

    core: float
    halo: float
    saturated: float
    contrast: float
    green: float
    where: BoolArray


@dataclass(frozen=True)
class Measures:
    """Numbers of one frame; see `gather`.

    Attributes
    ----------
    level : float
        Median of the sky above the dark level.
    top : float
        Brightest hundredth of the sky above the dark level.
    noise : float
        Of one pixel.
    signal : float
        The level over the noise of one pixel.
    saturated : float
        Share at the largest value.
    missing : float
        Share without a number, or in lines of one value.
    blue : float or None
        Share of blue in the light of a colour camera.
    """

    level: float
    top: float
    noise: float
    signal: float
    saturated: float
    missing: float
    blue: float | None

    def to_measures(self) -> dict[str, float]:
        """For `Quality.measures`."""
        return {name: float(value) for name, value in vars(self).items() if value is not None}


def gather(frame: Frame, circle: Fisheye) -> tuple[Measures, Plane, Glare | None]:
    """Measure a frame of analysis size whose sky lies in a circle."""
    plane = plane_of(frame, circle)
    if not plane.values.size:
        return Measures(0.0, 0.0, 0.0, 0.0, 0.0, 1.0, None), plane, None
    level = plane.middle - plane.dark
    noise = noise_of(frame, circle)
    measures = Measures(
        level=level / plane.full,
        top=(quantile(plane.values, 0.99) - plane.dark) / plane.full,
        noise=noise / plane.full,
        signal=level / max(noise, 1e-6 * plane.full),
        saturated=float(plane.saturated.ravel().take(plane.places).mean()),
        missing=max(plane.unknown, _dead_share(frame, circle)),
        blue=_blue(plane),
    )
    return measures, plane, find_glare(plane)


def noise_of(frame: Frame, circle: Fisheye) -> float:
    """Noise of one pixel in counts, from neighbours along some rows through the sky."""
    rows, first, last = _lines(circle, (frame.height, frame.width))
    if not rows.size or last - first < 2:
        return 0.0
    lines = frame.pixels[rows, first:last]
    lines = grey_of(lines) if lines.ndim == 3 else lines.astype(np.float32)
    apart = np.abs(lines[:, 1:] - lines[:, :-1]).ravel()
    if frame.pixels.dtype.kind == "f":
        apart = apart[np.isfinite(apart)]
    # The median of |a - b| is 0.954 sigma for two numbers of normal noise.
    return median(apart) / 0.954 if apart.size else 0.0


def sky_digest(plane: Plane) -> int:
    """A number that is the same for two frames whose skies are the same to the last bit.

    Clocks that are burnt into a picture lie outside of the sky, and go on when a camera hangs.
    """
    return isal_zlib.crc32(plane.values)


def find_glare(plane: Plane) -> Glare | None:
    """The brightest light if it is compact; None where the brightest part is drawn out or wide."""
    above = cv2.GaussianBlur(plane.light, (0, 0), _BLURRED) - plane.dark
    values = above.ravel().take(plane.places)
    top = int(values.argmax())
    row, column = divmod(int(plane.places[top]), above.shape[1])
    peak = float(values[top])
    middle = median(values)
    if peak <= max(2.0 * middle, 0.0):
        return None
    core = _connected(above > middle + _CORE * (peak - middle), row, column)
    places = np.flatnonzero(core)
    length = _length_over_width(core)
    if places.size > (_MOST_CORE if length > _ROUND else _MOST_BURNT) * values.size or length > _DRAWN_OUT:
        return None
    lit = above > _HALO * max(quantile(values, 0.25), 0.01 * plane.full)
    halo = _connected(lit | core, row, column) & plane.sky
    return Glare(
        core=places.size / values.size,
        halo=np.count_nonzero(halo) / values.size,
        saturated=float(plane.saturated.ravel().take(places).max(initial=0.0)),
        contrast=peak / max(middle, 1e-6 * plane.full),
        green=_green(plane, halo),
        where=halo,
    )


def _length_over_width(mask: BoolArray) -> float:
    """Of a mask's cells, by the principal axes of their places; a cell's own width counts, too."""
    moments = cv2.moments(mask.view(np.uint8), binaryImage=True)
    if moments["m00"] < 4:
        return 1.0
    size = moments["m00"] - 1
    along_x, along_y, mixed = (moments[name] / size for name in ("mu20", "mu02", "mu11"))
    middle, apart = (along_x + along_y) / 2 + 1 / 12, math.hypot((along_x - along_y) / 2, mixed)
    return math.sqrt((middle + apart) / max(middle - apart, 1e-6))


def _green(plane: Plane, where: BoolArray) -> float:
    if plane.colours is None or not where.any():
        return 0.0
    red, green, blue = (plane.colours[where].mean(axis=0) - plane.dark).tolist()
    return float((green - 0.5 * (red + blue)) / max(red + green + blue, 1e-6 * plane.full))


def _connected(mask: BoolArray, row: int, column: int) -> BoolArray:
    """The connected part of a mask that a cell belongs to."""
    if not mask[row, column]:
        return np.zeros_like(mask)
    filled = mask.astype(np.uint8)
    cv2.floodFill(filled, None, (column, row), 2, flags=8)  # cells that touch by their corners, too
    return filled == 2


def _blue(plane: Plane) -> float | None:
    if plane.colours is None:
        return None
    mean = cv2.mean(plane.colours, plane.sky.view(np.uint8))
    light = [max(value - plane.dark, 0.0) for value in mean[:3]]
    return light[2] / sum(light) if sum(light) > 0.0 else None


def _dead_share(frame: Frame, circle: Fisheye) -> float:
    """Share of rows and of columns through the sky that hold one value, while others do not."""
    shares = []
    plane = frame.pixels if frame.pixels.ndim == 2 else frame.pixels[..., 1]
    for pixels, window in zip((plane, plane.T), _windows(circle, plane.shape), strict=True):
        part = pixels[window]
        if part.shape[0] < 8 or part.shape[1] < _LEAST_DEAD:
            continue
        same = (part[:, 0] == part[:, 1]) & (part[:, 0] < largest_of(part.dtype))  # burnt is not lost
        if same.any():  # of nearly every line two pixels tell
            same &= (part == part[:, :1]).all(axis=1)
        shares.append(float(np.count_nonzero(same) / same.size))
    # A frame of one value everywhere holds no sky, but nothing of it is missing.
    return max((share for share in shares if share < 0.95), default=0.0)


@lru_cache(maxsize=16)
def _windows(circle: Fisheye, shape: tuple[int, int]) -> tuple[_Window, _Window]:
    """Some rows through the sky, and some columns of which the rows are those of the turned frame."""
    return _window(circle, shape[0]), _window(_turned(circle), shape[1])


def _turned(circle: Fisheye) -> Fisheye:
    return Fisheye(
        circle.center_y_px,
        circle.center_x_px,
        circle.radius_px * circle.aspect,
        radius_y_px=circle.radius_px,
    )


def _window(circle: Fisheye, height: int) -> _Window:
    reach, half_width = 0.8 * circle.radius_px * circle.aspect, 0.4 * circle.radius_px
    first = max(0, int(circle.center_y_px - reach))
    last = min(height, int(circle.center_y_px + reach))
    left, right = (int(circle.center_x_px + side) for side in (-half_width, half_width))
    step = max(1, (last - first) // _LINES_OF_ONE_VALUE)
    return slice(first, last, step), slice(max(0, left), max(0, right))


@lru_cache(maxsize=16)
def _lines(circle: Fisheye, shape: tuple[int, int]) -> tuple[NDArray[np.intp], int, int]:
    """Rows of a frame (height, width), and the columns between which they cross the sky."""
    half_width = SKY_RADII * 0.7 * circle.radius_px
    first = max(0, int(circle.center_x_px - half_width))
    last = min(shape[1], int(circle.center_x_px + half_width))
    reach = SKY_RADII * 0.7 * circle.radius_px * circle.aspect
    rows = np.linspace(circle.center_y_px - reach, circle.center_y_px + reach, _NOISE_LINES).astype(np.intp)
    return rows[(rows >= 0) & (rows < shape[0])], first, last
