"""Before and after, at the same place, size and stretch, solar north up.

A whole disk shown small shows nothing of an enhancement: both look the same. So what does not fit a
screen is cut to the place that an observer would turn to, an active region if there is one, else the
quiet Sun in the middle, and every pixel of the result is shown as one pixel. Before is interpolated to
the same grid by a cubic: what differs is detail, not the size of the squares.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from observatory.analysis import Enhancement, Quantity
from observatory.frame import Frame, RowOrder
from observatory.orientation import LEAST_ROLL_DEG
from observatory.photosphere import limb_darkening
from observatory.robust import quantile
from workers.products.preview import Bytes8, Picture

SIDE_PX = 1024
_LINE_PX = 2  # on each side of where the two meet
_MOST_ENLARGED = 4
_JPEG_QUALITY = 92
_BLOCK_PX = 8  # spots and pores are larger, granules smaller
_STANDING_OUT = 4.0  # times the middle of the map: quiet Sun reaches 2
_ON_DISK = 0.93  # of the radius: nearer to the limb little is to be seen of anything
_MARGIN_PX = 4  # what a cubic needs around

FloatArray = NDArray[np.floating]


@dataclass(frozen=True)
class Comparison:
    """One place before and after.

    Attributes
    ----------
    before, after : ndarray of uint8, shape (height, width)
    window_px : tuple (x0, y0, x1, y1)
        What is shown, in whole pixels of the frame, rows as in the file; the last ones not included.
    """

    before: Bytes8
    after: Bytes8
    window_px: tuple[int, int, int, int]

    @property
    def pictures(self) -> tuple[Picture, Picture, Picture]:
        """Both side by side, and each alone."""
        both = np.hstack([_labelled(self.before, "input"), _labelled(self.after, "enhanced")])
        width = self.before.shape[1]
        both[:, width - _LINE_PX : width + _LINE_PX] = 0
        return (
            _jpeg("compare", both),
            _jpeg("compare-before", self.before),
            _jpeg("compare-after", self.after),
        )


def compare(frame: Frame, enhancement: Enhancement) -> Comparison:
    """Show a frame and its enhancement at the same place."""
    view = _View.of(frame, enhancement)
    x0, y0, _, _ = enhancement.window_px
    before = view.sampled(_plane(frame.pixels), 0.0, 0.0, 1.0)
    after = view.sampled(enhancement.pixels, x0, y0, 2.0)
    low, high = _levels(enhancement.quantity, before, after)
    return Comparison(_grey(before, low, high), _grey(after, low, high), view.window_px(enhancement))


def _plane(pixels: np.ndarray) -> np.ndarray:
    return pixels if pixels.ndim == 2 else pixels.mean(axis=2, dtype=np.float32)


@dataclass(frozen=True)
class _View:
    """What is shown.

    Attributes
    ----------
    width, height : int
        Of the picture.
    step_px : float
        Pixels of the frame along one of the picture.
    center_px : tuple (x, y)
        Place in the frame that lies in the picture's middle.
    turn : ndarray, shape (2, 2)
        Frame pixels along the picture's x and y (downwards), for a step of one.
    """

    width: int
    height: int
    step_px: float
    center_px: tuple[float, float]
    turn: FloatArray

    @classmethod
    def of(cls, frame: Frame, enhancement: Enhancement) -> _View:
        x0, y0, x1, y1 = enhancement.window_px
        full = (2 * (x1 - x0), 2 * (y1 - y0))
        enlarged = max(1, min(_MOST_ENLARGED, SIDE_PX // max(full)))
        width, height = (min(side * enlarged, SIDE_PX) for side in full)
        step = 0.5 / enlarged
        fits = max(full) <= SIDE_PX
        middle = ((x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2)
        center = middle if fits else _place(frame, enhancement, (width * step, height * step))
        return cls(width, height, step, center, _turn(frame))

    @property
    def _affine(self) -> FloatArray:
        """From the picture's pixels to the frame's, (2, 3)."""
        across = self.turn * self.step_px
        middle = np.array([(self.width - 1) / 2, (self.height - 1) / 2])
        return np.column_stack([across, np.array(self.center_px) - across @ middle])

    def sampled(self, pixels: np.ndarray, x0: float, y0: float, finer: float) -> FloatArray:
        """The view of an array whose first pixel's edge is that of frame pixel (x0, y0)."""
        matrix = self._affine.copy()
        # Edges are scaled, not centres.
        matrix[:, 2] = (matrix[:, 2] - (x0, y0) + 0.5) * finer - 0.5
        matrix[:, :2] *= finer
        corners = np.array([[0, 0, 1], [self.width, 0, 1], [0, self.height, 1], [self.width, self.height, 1]])
        reached = corners @ matrix.T
        low = np.clip(np.floor(reached.min(axis=0)).astype(int) - _MARGIN_PX, 0, None)
        high = np.ceil(reached.max(axis=0)).astype(int) + _MARGIN_PX
        part = pixels[low[1] : max(high[1], low[1] + 1), low[0] : max(high[0], low[0] + 1)]
        matrix[:, 2] -= low
        size = (self.width, self.height)
        known = np.nan_to_num(part.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
        shown = cv2.warpAffine(
            known, matrix, size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
        )
        # The edge's pixels reach to their own edges; beyond there is nothing.
        inside = cv2.warpAffine(
            np.ones(part.shape, np.uint8), matrix, size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        )
        return np.asarray(shown * inside)

    def window_px(self, enhancement: Enhancement) -> tuple[int, int, int, int]:
        """Whole pixels of the frame that the view shows."""
        x0, y0, x1, y1 = enhancement.window_px
        half = np.abs(self.turn) @ np.array([self.width, self.height]) * self.step_px / 2
        low = np.floor(np.array(self.center_px) + 0.5 - half + 1e-6).astype(int)
        high = np.ceil(np.array(self.center_px) + 0.5 + half - 1e-6).astype(int)
        return max(x0, int(low[0])), max(y0, int(low[1])), min(x1, int(high[0])), min(y1, int(high[1]))


def _turn(frame: Frame) -> FloatArray:
    """Along the picture's x (west) and y (down, south): columns in frame pixels; as previews are turned."""
    if frame.row_order is RowOrder.TOP:
        return np.eye(2)
    roll = frame.pointing.roll_deg if frame.pointing else None
    angle = math.radians(roll) if roll is not None and abs(roll) >= LEAST_ROLL_DEG else 0.0
    if abs(abs(angle) - math.pi) < math.radians(LEAST_ROLL_DEG):
        angle = math.pi  # HMI's 179.93: turned exactly, pixels stay pixels
    cos, sin = round(math.cos(angle), 15), round(math.sin(angle), 15)
    # CROTA2: north lies this far clockwise from up (Thompson 2006, eq. 33).
    return np.array([[cos, -sin], [-sin, -cos]])


def _place(frame: Frame, enhancement: Enhancement, size_px: tuple[float, float]) -> tuple[float, float]:
    """Middle of the place to show: the most active one, or the quiet Sun nearest the middle."""
    x0, y0, x1, y1 = enhancement.window_px
    pixels = _plane(frame.pixels)[y0:y1, x0:x1]
    rows, columns = (max(1, side // _BLOCK_PX) for side in pixels.shape)
    # Middles of the blocks in the frame's pixels.
    x = x0 + (np.arange(columns) + 0.5) * (x1 - x0) / columns - 0.5
    y = y0 + (np.arange(rows) + 0.5) * (y1 - y0) / rows - 0.5
    disk = frame.pointing
    if disk is None:
        off, middle = np.zeros((rows, columns)), ((x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2)
    else:
        off = np.hypot(x[None, :] - disk.center_x_px, y[:, None] - disk.center_y_px) / disk.radius_px
        middle = (disk.center_x_px, disk.center_y_px)
    is_field = enhancement.quantity is Quantity.FIELD
    activity = _strength(pixels, (columns, rows)) if is_field else _contrast(pixels, off)
    spread = max(1.0, min(size_px) * columns / (x1 - x0) / 6)
    heat = np.where(off < _ON_DISK, cv2.GaussianBlur(activity, (0, 0), spread), 0.0)
    quiet = float(np.median(heat[off < _ON_DISK])) if (off < _ON_DISK).any() else math.inf
    if heat.max() > _STANDING_OUT * quiet:
        row, column = np.unravel_index(int(np.argmax(heat)), heat.shape)
        middle = (float(x[column]), float(y[row]))
    return (
        _moved_inwards(middle[0], size_px[0] / 2, x0 - 0.5, x1 - 0.5),
        _moved_inwards(middle[1], size_px[1] / 2, y0 - 0.5, y1 - 0.5),
    )


def _moved_inwards(center: float, half: float, first: float, last: float) -> float:
    """A middle whose window lies between two edges and begins at a pixel's: results are shown as they are."""
    if 2 * half >= last - first:
        return (first + last) / 2
    begins = min(max(center - half, first), last - 2 * half)
    return round(begins + 0.5) - 0.5 + half


def _strength(pixels: np.ndarray, size: tuple[int, int]) -> FloatArray:
    """Mean strength of the field in blocks, squared."""
    known = np.nan_to_num(pixels.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    return np.square(np.asarray(cv2.resize(np.abs(known), size, interpolation=cv2.INTER_AREA), np.float32))


def _contrast(pixels: np.ndarray, off: FloatArray) -> FloatArray:
    """How much darker or brighter blocks are than what lies around, as a share, squared.

    Parameters
    ----------
    off : ndarray
        Distance of the blocks from the disk's centre in radii; what is off the disk counts for nothing.
    """
    rows, columns = off.shape
    known = np.nan_to_num(pixels.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    mean = np.asarray(cv2.resize(known, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)
    mean /= limb_darkening(np.sqrt(np.clip(1 - np.square(off), 0.05, 1))).astype(np.float32)
    counts = ((off < _ON_DISK) & (mean > 0)).astype(np.float32)
    reach = max(columns, rows) / 24 + 2
    around = cv2.GaussianBlur(mean * counts, (0, 0), reach) / np.maximum(
        cv2.GaussianBlur(counts, (0, 0), reach), 1e-6
    )
    share = (mean - around) / np.maximum(around, 1e-6 * float(mean.max(initial=0.0)) + 1e-12)
    return np.asarray(np.square(np.clip(share, -1.0, 1.0)) * counts, np.float32)


def _levels(quantity: Quantity, before: FloatArray, after: FloatArray) -> tuple[float, float]:
    """Black and white, such that neither of the two is clipped where it matters."""
    if quantity is Quantity.FIELD:
        white = quantile(np.abs(after), 0.997)
        return (-white, white) if white > 0 else (-1.0, 1.0)
    low = min(quantile(before, 0.001), quantile(after, 0.001))
    high = max(quantile(before, 0.999), quantile(after, 0.999))
    return (low, high) if high > low else (low - 1.0, low + 1.0)


def _grey(values: FloatArray, low: float, high: float) -> Bytes8:
    return np.asarray(np.clip(np.rint((values - low) * (255.0 / (high - low))), 0, 255), np.uint8)


def _labelled(picture: Bytes8, word: str) -> Bytes8:
    """A word in the lower left corner, white on a dark edge, where the picture has room for it."""
    if min(picture.shape) < 160:
        return picture
    marked = picture.copy()
    place, font = (10, picture.shape[0] - 12), cv2.FONT_HERSHEY_SIMPLEX
    for shade, thickness in ((0, 7), (255, 2)):
        cv2.putText(marked, word, place, font, 0.8, shade, thickness, cv2.LINE_AA)
    return marked


def _jpeg(kind: str, picture: Bytes8) -> Picture:
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()
    return Picture(kind, "image/jpeg", ".jpg", data, picture.shape[1], picture.shape[0])
