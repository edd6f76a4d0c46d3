"""From a frame to what the network sees: one grid around the disk, one scale of brightness.

Level-1 counts, browse pictures (a logarithm for 193 Å, a square root for 171 Å, clipped) and
simulated frames differ in zero point, contrast and range. All are brought to a logarithm, centred
at the median of the quiet disk and divided by the contrast of the quiet Sun's fine structure, which is
nearly the same number on every quiet part of every frame; what is left is how much darker or
brighter than the quiet Sun a place is, in units that do not depend on the source.

The quiet Sun itself brightens with activity, by half and more, and coronal holes do not: what is marked as
one depends on absolute brightness. AIA's archives show 193 Å by one fixed logarithm, so that zero and unit of
their pictures are constants, near to what the rule above gives on average.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from observatory import euv
from observatory.analysis import EventType
from observatory.frame import Frame, Pointing

FloatArray = NDArray[np.floating]
BoolArray = NDArray[np.bool_]

#: Side of the analysis grid and half its width in solar radii: a little of the corona is seen.
SIDE = 256
HALF_WIDTH_RADII = 1.08

#: What the planes of the network's input are, in order.
PLANES = ("brightness", "mu", "is_171")

#: What the network's output maps are, in order.
EVENT_TYPES = (EventType.CORONAL_HOLE, EventType.ACTIVE_REGION)

#: Brightness is clipped to this range: below it pictures are black, above it saturated.
DARKEST, BRIGHTEST = -1.5, 3.0

_FINE_RADII = 0.034  # Gaussian that separates the fine structure, in solar radii
# One unit of brightness is so many times the median fine contrast: 171 shows loops as fine as its
# network and is smoother in the large.
_FINE_TO_UNIT = {"193": 10.0, "171": 6.0}
_QUIET_RADII = 0.8  # where the fine contrast is measured
_DISK_RADII = 0.9  # where the median is measured
_QUIET_RANGE = (-0.5, 0.6)  # neither holes nor active regions, around the median of all
_LEAST_SHARE = 0.02  # of the disk's median, before the logarithm of counts
# Browse pictures of 171 show sqrt(I) = 0.2 (b + 17) in DN, fitted to a frame and its own picture.
_SQUARE_ROOT_OFFSET = 17.0
# Grey values of AIA's pictures of 193: zero and unit, means of the 18 pairs of 2014 to 2016; and where the quiet
# disk lies in pictures of that scale (74 to 110 in these, 81 to 100 in 2011 since March, 98 in the JP2 of
# 2013, 101 in 2025). Pictures before 11 February 2011 (129 to 179) and of 2019 (45 to 50) are of others.
_AIA_ZERO, _AIA_UNIT = 92.0, 75.0
_AIA_QUIET = (60.0, 120.0)


class Channel(StrEnum):
    """The two bands that are segmented; SUVI's 195 counts as 193, being the same line of Fe XII."""

    FE_IX = "171"
    FE_XII = "193"


class Scale(StrEnum):
    """What the values of a plane are a function of brightness by."""

    COUNTS = "counts"
    LOGARITHM = "logarithm"
    AIA_LOGARITHM = "logarithm of AIA's archives"
    SQUARE_ROOT = "square root"


def scale_of(frame: Frame, plane: euv.Plane, channel: Channel) -> Scale:
    """How a plane shows brightness: the archives show 193 and all of SUVI by a logarithm, 171 by a root."""
    if not plane.is_picture:
        return Scale.COUNTS
    if frame.instrument.startswith("suvi"):
        return Scale.LOGARITHM
    return Scale.AIA_LOGARITHM if channel is Channel.FE_XII else Scale.SQUARE_ROOT


#: Which events are looked for in which band.
EVENTS_OF = {
    Channel.FE_XII: EVENT_TYPES,
    Channel.FE_IX: (EventType.ACTIVE_REGION,),
}


def channel_of(frame: Frame) -> Channel | None:
    """The band of a frame; None where it is none of the two."""
    if frame.wavelength_nm is None:
        return None
    angstrom = round(frame.wavelength_nm * 10)
    return {171: Channel.FE_IX, 193: Channel.FE_XII, 195: Channel.FE_XII}.get(angstrom)


@dataclass(frozen=True)
class AnalysisGrid:
    """Geometry of the grid.

    Attributes
    ----------
    radius : ndarray (side, side)
        Distance from disk centre in solar radii.
    mu : ndarray (side, side)
        Cosine of the heliocentric angle; 0 beyond the limb.
    disk : ndarray of bool (side, side)
        Cells that hold any of the disk.
    """

    radius: FloatArray
    mu: FloatArray
    disk: BoolArray


@cache
def analysis_grid(side: int = SIDE) -> AnalysisGrid:
    """The grid's geometry, made once."""
    axis = (np.arange(side) - (side - 1) / 2) * (2 * HALF_WIDTH_RADII / side)
    radius = np.hypot(axis[:, None], axis[None, :]).astype(np.float32)
    mu = np.sqrt(np.clip(1 - radius**2, 0, None)).astype(np.float32)
    disk = radius <= 1 + HALF_WIDTH_RADII / side
    return AnalysisGrid(radius, mu, disk)


@dataclass(frozen=True)
class Prepared:
    """A frame as the network sees it.

    Attributes
    ----------
    brightness : float32 ndarray (side, side)
        Logarithmic, 0 on the quiet Sun; see the module.
    is_absolute : bool
        Whether its zero and unit are those of AIA's archives, and not the frame's own.
    channel : Channel
    pointing : Pointing
        The disk in the frame's pixels.
    extent_px : tuple (x0, y0, x1, y1)
        Edges of the grid in the frame's pixels.
    """

    brightness: FloatArray
    is_absolute: bool
    channel: Channel
    pointing: Pointing
    extent_px: tuple[float, float, float, float]


def prepare(frame: Frame, channel: Channel, side: int = SIDE) -> Prepared:
    """Bring a frame to the analysis grid.

    Raises
    ------
    UnusableInputError
        When there is no disk in it.
    """
    plane = euv.monochrome(frame)
    return prepare_plane(frame, plane, euv.disk_of(frame, plane), channel, side)


def prepare_plane(
    frame: Frame, plane: euv.Plane, pointing: Pointing, channel: Channel, side: int = SIDE
) -> Prepared:
    """The same for a frame whose colour table is undone and whose disk is known."""
    gridded = euv.on_grid(plane, pointing, side, HALF_WIDTH_RADII)
    found = brightness(gridded.pixels, gridded.is_valid, channel, scale_of(frame, plane, channel))
    return Prepared(*found, channel, pointing, gridded.extent_px)


def brightness(
    pixels: FloatArray, is_valid: BoolArray, channel: Channel, scale: Scale
) -> tuple[NDArray[np.float32], bool]:
    """Brightness on the common scale, and whether it is absolute.

    Parameters
    ----------
    pixels : ndarray (side, side)
        Counts, or 0-255 of a browse picture, on the analysis grid.
    is_valid : ndarray of bool (side, side)
        Cells without data (captions, beyond the picture) become the disk's median.
    channel : Channel
    scale : Scale
        What the pixels are.

    Returns
    -------
    ndarray of float32 (side, side), `DARKEST` to `BRIGHTEST`
    bool
    """
    grid = analysis_grid(pixels.shape[0])
    known = is_valid & np.isfinite(pixels)
    level = _logarithm(np.where(known, pixels, 0.0), known, scale)
    inner = known & (grid.radius < _DISK_RADII)
    median = float(np.median(level[inner][::3])) if inner.any() else 0.0
    level = np.where(known, level, np.float32(median)).astype(np.float32)
    sigma = _FINE_RADII * pixels.shape[0] / (2 * HALF_WIDTH_RADII)
    fine = np.abs(level - cv2.GaussianBlur(level, (0, 0), sigma))
    quiet = known & (grid.radius < _QUIET_RADII)
    unit = _FINE_TO_UNIT[channel] * max(float(np.median(fine[quiet][::3])) if quiet.any() else 0.0, 1e-3)
    value = (level - np.float32(median)) / np.float32(unit)
    # A hole over a tenth of the disk moves its median: the zero is the median of what is quiet.
    calm = value[inner]
    calm = calm[(calm > _QUIET_RANGE[0]) & (calm < _QUIET_RANGE[1])]
    zero = float(np.median(calm[::3])) if calm.size else 0.0
    is_absolute = scale is Scale.AIA_LOGARITHM and _AIA_QUIET[0] < median + unit * zero < _AIA_QUIET[1]
    if is_absolute:
        value, zero = (level - np.float32(_AIA_ZERO)) / np.float32(_AIA_UNIT), 0.0
    return np.clip(value - np.float32(zero), DARKEST, BRIGHTEST), is_absolute


def _logarithm(pixels: FloatArray, known: BoolArray, scale: Scale) -> NDArray[np.float32]:
    """Any affine function of the logarithm of brightness will do: its scale is taken out later."""
    value = pixels.astype(np.float32)
    if scale in (Scale.LOGARITHM, Scale.AIA_LOGARITHM):
        return value
    if scale is Scale.SQUARE_ROOT:
        return np.asarray(np.log10(value + np.float32(_SQUARE_ROOT_OFFSET)), np.float32)
    inner = known & (analysis_grid(pixels.shape[0]).radius < _DISK_RADII)
    median = float(np.median(value[inner])) if inner.any() else 1.0
    least = max(median, 1e-3) * _LEAST_SHARE
    return np.asarray(np.log10(np.maximum(value, np.float32(least))), np.float32)


def planes(value: FloatArray, channel: Channel) -> NDArray[np.float32]:
    """The network's input planes of one picture, in the order of `PLANES`."""
    side = value.shape[0]
    is_171 = np.full((side, side), float(channel is Channel.FE_IX), np.float32)
    return np.stack([value.astype(np.float32), analysis_grid(side).mu, is_171])


def cover_beyond_limb(value: FloatArray) -> FloatArray:
    """The same picture with the corona beyond the limb taken away (limb crop)."""
    return np.where(analysis_grid(value.shape[0]).radius > 1.0, np.float32(DARKEST), value)
