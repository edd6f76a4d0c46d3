"""One plane of brightness from whatever a coronal frame is: counts or a coloured picture."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from observatory.errors import MissingKeywordError, UnusableInputError
from observatory.euv.colours import ColourTable, certain_table, fitting_tables, is_fitting, tables_of, undo
from observatory.frame import Frame, RowOrder

FloatArray = NDArray[np.floating]
BoolArray = NDArray[np.bool_]

#: Captions stand in the lowest rows: 0.959 to 0.984 of the height in pictures of 512 and 1024.
_CAPTION_BAND = 0.055
_STROKE = 0.009  # of the height: wider than any stroke of a letter, narrower than the corona's shapes
_LETTER_CONTRAST = 55.0
_LEAST_CAPTION_WIDTH, _LARGEST_CAPTION_HEIGHT = 0.12, 0.042


_RATE = re.compile(r"/ ?s|s ?(?:\^|\*\*)? ?\(?-1|^W|sr", re.IGNORECASE)


@dataclass(frozen=True)
class Plane:
    """Brightness of a frame in one plane.

    Attributes
    ----------
    pixels : ndarray, shape (height, width)
        Rows as in the frame: counts in the frame's own number type, or float32 0 to 255 where a
        colour table was undone.
    is_valid : ndarray of bool, shape (height, width), or None
        Pixels that hold a measurement: not NaN, not under a caption; None when all do.
    is_picture : bool
        Whether the values are an 8-bit display brightness (compressed, scaled) and no counts.
    row_order : RowOrder
    source : Frame or None
        Frame whose own pixels these are, all valid.
    """

    pixels: np.ndarray
    is_valid: BoolArray | None = None
    is_picture: bool = False
    row_order: RowOrder = RowOrder.BOTTOM
    source: Frame | None = field(default=None, repr=False)

    def averaged(self, factor: int) -> tuple[np.ndarray, int]:
        """Pixels averaged over squares as far as that was done already, and the squares' side.

        The side (4, 2 or 1) divides `factor`; nothing is averaged where pixels are not valid.
        """
        if self.source is not None:
            for side, averaged in ((4, "quartered"), (2, "halved")):
                if factor % side == 0 and (found := getattr(self.source, averaged)) is not None:
                    return found, side
        return self.pixels, 1


def monochrome(frame: Frame) -> Plane:
    """Return a frame's brightness: its colours undone, captions and NaN marked as not valid.

    Raises
    ------
    UnusableInputError
        When a picture's colours are those of no table that is known, or of another channel than
        the frame is said to be of.
    """
    pixels = frame.pixels
    if pixels.ndim == 3:
        brightness = _uncoloured(frame)
        return Plane(brightness, _caption_free(pixels), True, frame.row_order)
    if pixels.dtype == np.uint8:
        return Plane(pixels, _caption_free(pixels), True, frame.row_order)
    if pixels.dtype.kind == "f":
        pixels = pixels.astype(np.float32, copy=False)
        # checkRange stops at the first NaN and makes no array: a third of isfinite's time.
        is_whole = cv2.checkRange(pixels, quiet=True)[0]
        return Plane(pixels, None if is_whole else np.isfinite(pixels), False, frame.row_order)
    counts = _handy(pixels)
    return Plane(counts, None, False, frame.row_order, frame if counts is frame.pixels else None)


def _handy(counts: np.ndarray) -> np.ndarray:
    """Counts in a type that OpenCV averages; 16 bits where they hold all values."""
    if counts.dtype in (np.int16, np.uint16):
        return counts
    short = np.iinfo(np.int16)
    fits = counts.min() >= short.min and counts.max() <= short.max
    return counts.astype(np.int16 if fits else np.float32)


def channel_angstrom(frame: Frame) -> int | None:
    """Channel of a frame, by its wavelength or by a name such as ``aia-193``; None when unknown."""
    if frame.wavelength_nm is not None:
        return round(frame.wavelength_nm * 10)
    _, _, channel = frame.instrument.rpartition("-")
    return int(channel) if channel.isdecimal() else None


def _uncoloured(frame: Frame) -> FloatArray:
    pixels = frame.pixels
    if pixels.dtype != np.uint8:
        raise UnusableInputError(
            f"the picture has colours of {pixels.dtype.itemsize * 8} bits; coronal pictures of 8 bits are read"
        )
    table = _table_for(frame)
    return pixels[..., 1].astype(np.float32) if table is None else undo(pixels, table)


def _table_for(frame: Frame) -> ColourTable | None:
    """Table of a picture; None for grey, and for one so dark that it does not matter."""
    channel = channel_angstrom(frame)
    own = tables_of(channel) if channel is not None else ()
    fits = fitting_tables(frame.pixels)
    if fits is None:
        return own[0] if own else None
    for fit in fits:
        if fit.table in own and is_fitting(fit):
            return fit.table
    if any(fit.table.channel is None and is_fitting(fit) for fit in fits):
        return None  # grey, or so dim that it may as well be
    found = certain_table(fits)
    if found is None:
        raise UnusableInputError(
            f"the picture's colours fit no known table (nearest is {fits[0].table.name}, "
            f"{fits[0].distance:.0f} counts away): give the picture in grey, in the channel's own colours, or as FITS"
        )
    if own:
        raise UnusableInputError(
            f"the picture has the colours of {found.name} but is taken for {frame.instrument}: "
            "name the right instrument (--instrument), or give the picture in grey or as FITS"
        )
    return found


def _caption_free(pixels: np.ndarray) -> BoolArray | None:
    """Pixels beside the caption burnt into the lowest rows; None when there is no caption.

    Captions are white: of a coloured picture the least of the three colours shows them best.
    """
    height, width = pixels.shape[:2]
    top = int(height * (1.0 - _CAPTION_BAND))
    if height - top < 8 or width < 64:
        return None
    band = pixels[top:] if pixels.ndim == 2 else pixels[top:].min(axis=2)
    side = max(3, int(height * _STROKE) | 1)
    # What a small square does not fit into is thin: letters, and cosmic rays.
    thin = cv2.morphologyEx(band, cv2.MORPH_TOPHAT, np.ones((side, side), np.uint8)) > _LETTER_CONTRAST
    rows, columns = np.flatnonzero(thin.sum(axis=1) >= 3), np.flatnonzero(thin.any(axis=0))
    if len(columns) < 0.04 * width or len(rows) < 3:
        return None
    y0, y1 = int(rows[0]), int(rows[-1]) + 1
    x0, x1 = (int(edge) for edge in np.percentile(columns, (1, 99)))
    if x1 - x0 < _LEAST_CAPTION_WIDTH * width or y1 - y0 > _LARGEST_CAPTION_HEIGHT * height:
        return None
    around = 2 + height // 256
    valid = np.ones((height, width), bool)
    valid[max(0, top + y0 - around) : top + y1 + around, max(0, x0 - 2 * around) : x1 + 2 * around] = False
    return valid


def is_rate(frame: Frame) -> bool:
    """Whether a frame's unit says that it is normalised already: counts per second, or radiance."""
    return _RATE.search(frame.unit or "") is not None


def exposure_normalised(frame: Frame, pixels: np.ndarray) -> FloatArray:
    """Counts per second.

    Display brightness of pictures is scaled by its archive and gains nothing from this.

    Parameters
    ----------
    pixels : ndarray
        Counts of the frame, on its own grid or on another.

    Returns
    -------
    ndarray of `pixels`' shape, float32
        DN/s; rates and radiances (SUVI level 1b: W m-2 sr-1) as they are.

    Raises
    ------
    MissingKeywordError
        When the frame is in counts and its exposure time is missing or no time.
    """
    if is_rate(frame):
        return np.asarray(pixels, np.float32)
    exposure = frame.exposure_time_s
    if exposure is None or not exposure > 0:
        raise MissingKeywordError(
            "EXPTIME", f"counts without an exposure time (found {exposure}) say no DN/s"
        )
    return np.asarray(pixels, np.float32) * np.float32(1.0 / exposure)
