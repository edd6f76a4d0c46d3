"""A field of view that somebody asks for, and the pixels of a frame that it covers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from observatory.coordinates import hpc_to_pixel
from observatory.errors import UnusableInputError
from observatory.frame import Frame

Window = tuple[int, int, int, int]
"""First column and row, and the ones after the last: x0, y0, x1, y1."""

_SIDES = ("x", "y", "width", "height")
_ROUNDING_PX = 1e-3  # a window that ends on a pixel's edge takes no other for a rounding error's sake


class FieldUnit(StrEnum):
    """What a field of view is given in."""

    ARCSEC = "arcsec"
    PIXEL = "px"


class NoPointingError(UnusableInputError):
    """Arcseconds are asked for on a frame that does not tell where the Sun is."""

    def __init__(self) -> None:
        super().__init__(
            "the frame has no pointing (where the disk lies, its scale and its roll), so nothing tells where "
            "these arcseconds are on it; give the field of view in pixels: x_px, y_px, width_px, height_px"
        )


class OutsideFrameError(UnusableInputError):
    """A field of view that does not lie on the frame."""

    def __init__(self, window: Window, frame: Frame) -> None:
        x0, y0, x1, y1 = window
        super().__init__(
            f"the field of view covers columns {x0} to {x1 - 1} and rows {y0} to {y1 - 1}; the frame has "
            f"columns 0 to {frame.width - 1} and rows 0 to {frame.height - 1}: ask for a part of that"
        )


class LargeFieldError(UnusableInputError):
    """A field of view of more pixels than may be asked for at once."""

    def __init__(self, window: Window, most: int) -> None:
        width, height = window[2] - window[0], window[3] - window[1]
        super().__init__(
            f"the field of view has {width} x {height} pixels; {most:,} at most may be asked for at once: "
            "ask for a smaller one, or raise cutouts.max_pixels in the settings"
        )


@dataclass(frozen=True)
class FieldOfView:
    """A rectangle on a frame.

    Attributes
    ----------
    x, y : float
        In arcsec: helioprojective (Tx, Ty) of the middle. In pixels: the first column and row, from 0,
        rows as in the file.
    width, height : float
        In arcsec: along Tx and Ty; on a frame that is rolled, the pixels that hold all of the rectangle
        are taken. In pixels: along columns and rows.
    """

    x: float
    y: float
    width: float
    height: float
    unit: FieldUnit

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> FieldOfView:
        """Undo `to_json`."""
        unit = FieldUnit(next(iter(given)).rpartition("_")[2])
        x, y, width, height = (float(given[f"{side}_{unit}"]) for side in _SIDES)
        return cls(x, y, width, height, unit)

    def to_json(self) -> dict[str, float]:
        """The same with the unit in the names, such as ``x_arcsec``."""
        return {f"{side}_{self.unit}": float(getattr(self, side)) for side in _SIDES}

    def window(self, frame: Frame, most_pixels: int) -> Window:
        """Pixels of a frame that hold the field of view.

        Raises
        ------
        NoPointingError, OutsideFrameError, LargeFieldError
        """
        window = self._covered(frame)
        x0, y0, x1, y1 = window
        if x0 < 0 or y0 < 0 or x1 > frame.width or y1 > frame.height:
            raise OutsideFrameError(window, frame)
        if (x1 - x0) * (y1 - y0) > most_pixels:
            raise LargeFieldError(window, most_pixels)
        return window

    def _covered(self, frame: Frame) -> Window:
        if self.unit is FieldUnit.PIXEL:
            x0, y0 = int(self.x), int(self.y)
            return x0, y0, x0 + int(self.width), y0 + int(self.height)
        if frame.pointing is None or frame.pointing.roll_deg is None:
            raise NoPointingError
        tx = self.x + self.width * np.array([-0.5, 0.5, 0.5, -0.5])
        ty = self.y + self.height * np.array([-0.5, -0.5, 0.5, 0.5])
        x, y = hpc_to_pixel(tx, ty, frame.pointing, frame.row_order)
        x0, y0 = _first(x.min(), y.min())
        x1, y1 = _after_last(x.max(), y.max())
        return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


def _first(*places: float) -> tuple[int, int]:
    """Pixels (their centres lie at whole numbers) in which corners lie."""
    first, second = (math.floor(place + 0.5 + _ROUNDING_PX) for place in places)
    return first, second


def _after_last(*places: float) -> tuple[int, int]:
    first, second = (math.ceil(place + 0.5 - _ROUNDING_PX) for place in places)
    return first, second
