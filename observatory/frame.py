"""`Frame`: what one exposure is once it has been read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from observatory.fisheye import Fisheye
from observatory.sky import Site

_STRIP_ROWS = 128
_FEW_COUNTS = 128  # half of them at least: then rounding is a four-hundredth of what is there
_AVERAGED_TYPES = (np.uint8, np.int16, np.uint16, np.float32)  # what OpenCV resizes


class DateSource(StrEnum):
    """What told us the start of the exposure."""

    HEADER = "header"
    FILE_NAME = "file name"
    FILE_TIME = "file time"
    NONE = "none"


class RowOrder(StrEnum):
    """Where row 0 of the pixel array lies in the picture."""

    BOTTOM = "bottom"  # FITS
    TOP = "top"  # PNG, JPEG, PGM, JP2


@dataclass(frozen=True)
class Pointing:
    """Where the Sun's disk lies on the detector.

    Attributes
    ----------
    center_x_px, center_y_px : float
        Disk centre in 0-based pixels of `Frame.pixels` (x = column, y = row).
    radius_px : float
        Radius of the photospheric limb in pixels.
    rsun_arcsec : float
        Apparent solar radius; 959.63 at 1 au when nothing better is known.
    roll_deg : float | None
        FITS CROTA2: solar north lies this far clockwise from up, rows counted upwards;
        None when unknown.
    source : str
        ``header`` or ``limb`` (fitted).
    """

    center_x_px: float
    center_y_px: float
    radius_px: float
    rsun_arcsec: float = 959.63
    roll_deg: float | None = None
    source: str = "limb"

    @property
    def cdelt_arcsec(self) -> float:
        """Plate scale, arcsec per pixel."""
        return self.rsun_arcsec / self.radius_px


@dataclass(frozen=True)
class Frame:
    """One exposure: pixels with their meaning.

    Attributes
    ----------
    pixels : ndarray, shape (height, width) or (height, width, 3)
        In the file's own number type; not to be written to.
    instrument : str
        Name of the instrument, such as ``kso-halpha``.
    row_order : RowOrder
        Where row 0 lies.
    date_obs : datetime | None
        Start of the exposure, aware UTC.
    pointing : Pointing | None
        What the header says of the disk's place; None when it says nothing.
    unit : str | None
        Unit of the pixels as the header names it.
    header : Mapping
        Header facts worth keeping (plain JSON values).
    sha256 : str | None
        Of the file's bytes, where whoever read it knows; products that go their own way name it.
    fisheye : Fisheye | None
        Geometry of an all-sky camera as settings, skymap or header tell it; None where nothing does.
    site : Site | None
        Where the camera stands.
    sky_mask : ndarray of bool, shape (height, width), or None
        True where the camera sees sky; None: wherever its lens looks.
    date_note : str | None
        Why there is no time, or why it is in doubt.
    is_simulated : bool
        Whether it says of itself that a simulator made it.
    """

    pixels: np.ndarray
    instrument: str
    row_order: RowOrder
    date_obs: datetime | None = None
    date_obs_source: DateSource = DateSource.NONE
    observatory: str | None = None
    wavelength_nm: float | None = None
    exposure_time_s: float | None = None
    unit: str | None = None
    pointing: Pointing | None = None
    index: int = 0
    file_name: str = ""
    header: Mapping[str, Any] = field(default_factory=dict)
    sha256: str | None = None
    fisheye: Fisheye | None = None
    site: Site | None = None
    sky_mask: np.ndarray | None = None
    date_note: str | None = None
    is_simulated: bool = False

    @cached_property
    def halved(self) -> np.ndarray | None:
        """Pixels averaged two by two, made once; None for odd sizes and types.

        The one pass over a large frame that its analyses and its preview share. Whole numbers stay whole,
        which is twice as fast, unless they are so few that rounding would show: those become float32.
        """
        return _averaged_by_two(self.pixels)

    @cached_property
    def quartered(self) -> np.ndarray | None:
        """Pixels averaged four by four, as `halved`."""
        return None if self.halved is None else _averaged_by_two(self.halved)

    @property
    def height(self) -> int:
        """Number of rows."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Number of columns."""
        return int(self.pixels.shape[1])


def _averaged_by_two(pixels: np.ndarray) -> np.ndarray | None:
    height, width = pixels.shape[:2]
    is_even = height % 2 == 0 and width % 2 == 0
    if not is_even or pixels.dtype not in _AVERAGED_TYPES or not pixels.dtype.isnative:
        return None
    if pixels.dtype in (np.int16, np.uint16) and np.median(pixels[::64, ::64]) < _FEW_COUNTS:
        return _averaged_as_reals(pixels)
    return np.asarray(cv2.resize(pixels, (width // 2, height // 2), interpolation=cv2.INTER_AREA))


def _averaged_as_reals(pixels: np.ndarray) -> np.ndarray:
    """Means of two by two whole numbers, float32; strip by strip, so that the reals stay in the cache."""
    height, width = pixels.shape[:2]
    means = np.empty((height // 2, width // 2, *pixels.shape[2:]), np.float32)
    for first in range(0, height, _STRIP_ROWS):
        strip = pixels[first : first + _STRIP_ROWS].astype(np.float32)
        into = means[first // 2 : (first + len(strip)) // 2]
        cv2.resize(strip, into.shape[1::-1], dst=into, interpolation=cv2.INTER_AREA)
    return means
