"""The colour tables of coronal browse pictures: what they are, which one a picture has, undoing it.

Every channel of AIA is shown in colours of its own. The tables are short formulas on the brightness
i = 0 ... 255: straight lines, a root, a square, and the three ramps of IDL's table 3 (red
temperature). Source: SolarSoft, ``aia_lct`` (K. Schrijver 2010), whose numbers sunpy carries too.

Undoing goes by luma: it rises along every table, is what JPEG keeps best (the two colour
differences are stored at half resolution), and at 16 bits tells all 256 entries apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Bytes8 = NDArray[np.uint8]
FloatArray = NDArray[np.floating]

#: Weights of red, green and blue in 1/256: ITU-R BT.601, as JPEG uses them.
_LUMA = (77, 150, 29)
_BLOCK_ROWS = 128  # temporaries of one block stay in the processor's cache
_SAMPLES_ACROSS = 112
_DARK_LUMA = 10.0  # below it noise of a few counts rules the colour
_LEAST_LIT = 40  # sampled pixels that are needed to tell a table
#: Median distance from the curve, in counts of 255. Of 250 real pictures all lie within 6.5 of their own
#: table (reds saturated by JPEG are the worst) and beyond 17 of every other one.
_FITS = 11.0
_BETTER = 1.6  # the next table must be this much further away


@dataclass(frozen=True, eq=False)
class ColourTable:
    """One channel's colours.

    Attributes
    ----------
    channel : int or None
        AIA's channel in angstrom; None for plain grey.
    rgb : ndarray, shape (256, 3), float32
        Red, green and blue, 0 to 255, of each brightness.
    """

    channel: int | None
    rgb: FloatArray

    @property
    def name(self) -> str:
        """Words for messages."""
        return "grey" if self.channel is None else f"AIA {self.channel}"


@dataclass(frozen=True)
class TableFit:
    """How well a table explains a picture's colours: median distance in counts of 255."""

    table: ColourTable
    distance: float


@cache
def colour_tables() -> tuple[ColourTable, ...]:
    """All tables that are known."""
    i = np.arange(256, dtype=np.float64)
    line, root, square = i, np.sqrt(255.0 * i), i * i / 255.0
    bright = (root + square / 2.0) / 1.5
    red, green, blue = _ramp(i, 0, 176), _ramp(i, 120, 255), _ramp(i, 190, 255)
    named = {
        94: (square, bright, line),
        131: (green, red, red),
        171: (red, line, blue),
        193: (root, line, square),
        211: (root, line, bright),
        304: (red, green, blue),
        335: (square, line, root),
        1600: (bright, bright, square),
        1700: (root, line, line),
        4500: (line, line, np.floor(blue / 2.0)),
    }
    tables = [ColourTable(channel, _stacked(*curves)) for channel, curves in named.items()]
    # SDO's own browse pictures show 94 in green and white; read off such a picture (2025-02-05).
    tables.append(ColourTable(94, _stacked(_ramp(i, 97, 255), line, _ramp(i, 180, 255))))
    tables.append(ColourTable(None, _stacked(line, line, line)))
    return tuple(tables)


def _ramp(i: FloatArray, start: int, end: int) -> FloatArray:
    """0 up to ``start``, a straight line in whole numbers, 255 from ``end`` on."""
    return np.clip(np.floor((i - start) * 255.0 / (end - start)), 0.0, 255.0)


def _stacked(*curves: FloatArray) -> FloatArray:
    return np.stack(curves, axis=1).astype(np.float32)


def tables_of(channel: int) -> tuple[ColourTable, ...]:
    """Tables in which a channel of AIA or SUVI is shown; SUVI shares AIA's, 195 that of 193."""
    channel = {195: 193, 284: 335}.get(channel, channel)
    return tuple(table for table in colour_tables() if table.channel == channel)


def fitting_tables(pixels: Bytes8) -> tuple[TableFit, ...] | None:
    """Tables from the nearest to the farthest.

    Parameters
    ----------
    pixels : ndarray, shape (height, width, 3), uint8

    Returns
    -------
    tuple of TableFit, or None
        None when the picture is too dark to have a colour.
    """
    step = max(1, min(pixels.shape[:2]) // _SAMPLES_ACROSS)
    sample = np.ascontiguousarray(pixels[step // 2 :: step, step // 2 :: step]).reshape(-1, 3)
    luma = _luma16(sample[None])[0]
    lit = luma > _DARK_LUMA * 256
    if int(lit.sum()) < _LEAST_LIT:
        return None
    colour, luma = sample[lit].astype(np.float32), luma[lit]
    fits = []
    for table in colour_tables():
        index = _inverse(table)[luma] + np.float32(0.5)
        apart = colour - table.rgb[index.astype(np.intp)]
        fits.append(TableFit(table, float(np.median(np.sqrt(np.square(apart).sum(axis=1))))))
    return tuple(sorted(fits, key=lambda fit: fit.distance))


def certain_table(fits: tuple[TableFit, ...]) -> ColourTable | None:
    """The table that a picture has for certain; None when none fits or two do."""
    best = fits[0]
    others = [fit for fit in fits if fit.table.channel != best.table.channel]
    if best.distance > _FITS or others[0].distance < _BETTER * best.distance + 1.0:
        return None
    return best.table


def is_fitting(fit: TableFit) -> bool:
    """Whether a picture may have this table."""
    return fit.distance <= _FITS


def undo(pixels: Bytes8, table: ColourTable) -> FloatArray:
    """Brightness of every pixel of a coloured picture.

    Parameters
    ----------
    pixels : ndarray, shape (height, width, 3), uint8
    table : ColourTable

    Returns
    -------
    ndarray, shape (height, width), float32
        0 to 255, with fractions where a pixel lies between two entries.
    """
    inverse = _inverse(table)
    brightness = np.empty(pixels.shape[:2], np.float32)
    for row in range(0, len(pixels), _BLOCK_ROWS):
        block = slice(row, row + _BLOCK_ROWS)
        np.take(inverse, _luma16(pixels[block]), out=brightness[block], mode="clip")
    return brightness


def _luma16(pixels: Bytes8) -> NDArray[np.uint16]:
    """Luma times 256, (height, width)."""
    red, green, blue = _LUMA
    luma = pixels[..., 0].astype(np.uint16)
    luma *= np.uint16(red)
    luma += pixels[..., 1] * np.uint16(green)
    luma += pixels[..., 2] * np.uint16(blue)
    return luma


@cache
def _inverse(table: ColourTable) -> FloatArray:
    """Brightness for each of the 65 536 lumas."""
    luma = np.rint(table.rgb).astype(np.float64) @ np.array(_LUMA, np.float64)
    return np.interp(np.arange(65536), luma, np.arange(256.0)).astype(np.float32)
