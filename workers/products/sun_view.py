"""A view of the Sun: a picture's own grid in arcseconds, north up, and bringing frames to it.

All pictures that are to fit each other (the channels of a composite, the frames of a film, the
outlines over them) go through one `SunView`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from observatory.errors import SettingsError, UnusableInputError
from observatory.frame import Pointing, RowOrder

FULL_FIELD_ARCSEC = 4096 * 0.6  # of AIA's detector, level 1.5
LEAST_SIDE_PX, MOST_SIDE_PX = 16, 8192
_LEAST_REDUCTION = 1.05  # below it a cubic kernel alone leaves no aliasing to see

FloatArray = NDArray[np.floating]


@dataclass(frozen=True)
class SunView:
    """What a picture shows.

    Attributes
    ----------
    width_px, height_px : int
        Size of the picture.
    cdelt_arcsec : float
        Plate scale.
    center_x_arcsec, center_y_arcsec : float
        Helioprojective coordinates of the picture's centre.
    """

    width_px: int
    height_px: int
    cdelt_arcsec: float
    center_x_arcsec: float = 0.0
    center_y_arcsec: float = 0.0

    @classmethod
    def full(cls, side_px: int, field_arcsec: float = FULL_FIELD_ARCSEC) -> SunView:
        """The whole disk and the corona around it in a square."""
        return cls(side_px, side_px, field_arcsec / side_px)

    def cropped(self, crop: Crop) -> SunView:
        """The part of this view that a crop names, at a size of the same height in pixels."""
        if crop.is_arcsec:
            centre = (crop.center_x, crop.center_y)
            width, height = crop.width, crop.height
        else:  # pixels of this view, counted from its upper left corner
            scale = self.cdelt_arcsec
            centre = (
                self.center_x_arcsec + (crop.center_x - (self.width_px - 1) / 2) * scale,
                self.center_y_arcsec - (crop.center_y - (self.height_px - 1) / 2) * scale,
            )
            width, height = crop.width * scale, crop.height * scale
        cdelt = height / self.height_px
        width_px = max(1, round(width / cdelt))
        if not LEAST_SIDE_PX <= width_px <= MOST_SIDE_PX:
            raise SettingsError(f"the crop would be {width_px} x {self.height_px} pixels: take another size")
        return SunView(width_px, self.height_px, cdelt, *centre)

    def from_frame(self, pointing: Pointing, row_order: RowOrder) -> FloatArray:
        """Affine matrix (2, 3) from the picture's pixels (x, y), row 0 on top, to the frame's.

        CROTA2 turns as in Thompson 2006, A&A 449, 791, eq. 33; north unknown counts as up.
        """
        angle = math.radians(pointing.roll_deg or 0.0)
        ratio = self.cdelt_arcsec / pointing.cdelt_arcsec
        # Picture pixels to arcseconds (y upwards), to frame pixels with rows counted upwards, to rows.
        up = 1.0 if row_order is RowOrder.BOTTOM else -1.0
        turn = ratio * np.array(
            [[math.cos(angle), -math.sin(angle)], [-up * math.sin(angle), -up * math.cos(angle)]]
        )
        scale = pointing.cdelt_arcsec
        x, y = self.center_x_arcsec / scale, self.center_y_arcsec / scale
        centre = np.array(
            [
                pointing.center_x_px + math.cos(angle) * x + math.sin(angle) * y,
                pointing.center_y_px + up * (-math.sin(angle) * x + math.cos(angle) * y),
            ]
        )
        middle = np.array([(self.width_px - 1) / 2, (self.height_px - 1) / 2])
        return np.column_stack([turn, centre - turn @ middle])

    def points(self, xy: FloatArray, pointing: Pointing, row_order: RowOrder) -> FloatArray:
        """Frame pixels (n, 2) as pixels of the picture."""
        matrix = self.from_frame(pointing, row_order)
        return np.linalg.solve(matrix[:, :2], (np.asarray(xy, float) - matrix[:, 2]).T).T


@dataclass(frozen=True)
class Crop:
    """A part of a picture: centre and size, in arcseconds from disk centre or in pixels."""

    center_x: float
    center_y: float
    width: float
    height: float
    is_arcsec: bool = True

    @classmethod
    def parse(cls, word: str) -> Crop:
        """Read ``X,Y,WIDTH,HEIGHT`` in arcseconds, or in pixels with ``px`` at the end.

        Raises
        ------
        SettingsError
            When it is not that.
        """
        is_arcsec = not word.strip().lower().endswith("px")
        try:
            numbers = [float(part) for part in word.lower().replace("px", "").replace('"', "").split(",")]
            x, y, width, height = numbers
        except ValueError as error:
            raise SettingsError(
                f"crop {word!r}: write X,Y,WIDTH,HEIGHT of the part's centre and size in arcseconds "
                "from disk centre, such as -200,350,600,400, or in pixels of the picture: 512,512,300,200px"
            ) from error
        if not (width > 0 and height > 0 and all(map(math.isfinite, numbers))):
            raise SettingsError(f"crop {word!r}: width and height must be above 0")
        return cls(x, y, width, height, is_arcsec)


@dataclass(frozen=True)
class Resampler:
    """Brings one frame's plane to a view, all of it or some rows; made once for a frame.

    Where the view is coarser than the frame the plane is first averaged to the view's scale; what
    remains, a shift and a turn, is interpolated by a cubic (a = -0.75) with float32 weights.
    """

    pixels: np.ndarray
    matrix: FloatArray
    width_px: int
    height_px: int

    @classmethod
    def of(cls, pixels: np.ndarray, pointing: Pointing, row_order: RowOrder, view: SunView) -> Resampler:
        """Prepare a plane (height, width), or a picture (height, width, 3).

        Raises
        ------
        UnusableInputError
            When nothing of the view lies inside the frame.
        """
        matrix = view.from_frame(pointing, row_order)
        _refuse_outside(matrix, view, pixels)
        reduction = math.hypot(matrix[0, 0], matrix[1, 0])
        if pixels.dtype not in (np.uint8, np.int16, np.uint16, np.float32):
            pixels = pixels.astype(np.float32)
        if reduction >= _LEAST_REDUCTION:
            if pixels.dtype != np.uint8:  # the mean of whole numbers would be rounded to a whole number
                pixels = pixels.astype(np.float32, copy=False)
            height, width = pixels.shape[:2]
            size = (max(1, round(width / reduction)), max(1, round(height / reduction)))
            pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
            scale = np.array([size[0] / width, size[1] / height])
            # Pixel centres lie at integers: edges are scaled, not centres.
            matrix = np.column_stack([matrix[:, :2] * scale[:, None], (matrix[:, 2] + 0.5) * scale - 0.5])
        return cls(pixels, matrix, view.width_px, view.height_px)

    def rows(self, start: int, stop: int, dtype: type = np.float32) -> np.ndarray:
        """Rows of the picture from ``start`` to ``stop``; 0 beyond the frame."""
        shifted = self.matrix.copy()
        shifted[:, 2] += self.matrix[:, 1] * start
        source, origin = self._part(shifted, stop - start)
        shifted[:, 2] -= origin
        return np.asarray(
            cv2.warpAffine(
                source.astype(dtype, copy=False),
                shifted,
                (self.width_px, stop - start),
                flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_CONSTANT,
                borderValue=0,
            )
        )

    def _part(self, matrix: FloatArray, rows: int) -> tuple[np.ndarray, FloatArray]:
        """Rows of the source that are needed, so that only they are converted."""
        corners = np.array([[0, 0], [self.width_px - 1, 0], [0, rows - 1], [self.width_px - 1, rows - 1]])
        y = corners @ matrix[1, :2] + matrix[1, 2]
        first = int(np.clip(math.floor(y.min()) - 3, 0, self.pixels.shape[0] - 1))
        last = int(np.clip(math.ceil(y.max()) + 4, first + 1, self.pixels.shape[0]))
        return self.pixels[first:last], np.array([0.0, float(first)])


def _refuse_outside(matrix: FloatArray, view: SunView, pixels: np.ndarray) -> None:
    right, bottom = view.width_px - 1, view.height_px - 1
    corners = np.array([[0, 0], [right, 0], [0, bottom], [right, bottom]]) @ matrix[:, :2].T + matrix[:, 2]
    height, width = pixels.shape[:2]
    (left, low), (right, high) = corners.min(axis=0), corners.max(axis=0)
    if right <= -0.5 or high <= -0.5 or left >= width - 0.5 or low >= height - 0.5:
        raise UnusableInputError(
            f"the picture asked for, around ({view.center_x_arcsec:.0f}, {view.center_y_arcsec:.0f}) arcsec "
            "from disk centre, shows nothing of this frame: take another crop"
        )


def bands(height: int, rows: int = 256) -> Sequence[tuple[int, int]]:
    """Row ranges that stay in the processor's cache and can be worked on beside each other."""
    return [(start, min(height, start + rows)) for start in range(0, height, rows)]
