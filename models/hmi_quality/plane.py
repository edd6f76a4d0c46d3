"""One plane of numbers from whatever a frame of the photosphere is, and where its disk lies (numpy, OpenCV)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from observatory.analysis import Quantity
from observatory.coordinates import RSUN_1AU_ARCSEC, SunView
from observatory.errors import UnusableInputError
from observatory.euv.colours import ColourTable, undo
from observatory.frame import Frame, Pointing
from observatory.photosphere_view import DiskView, View, view_of
from observatory.sun import LimbFit, compare_pointing, fit_limb

FloatArray = NDArray[np.floating]

_HANDY = (np.uint8, np.int16, np.uint16, np.float32)  # what OpenCV averages
_DARK = 24  # of 255: below it noise of a few counts rules the colour
_LEAST_LIT = 40  # sampled pixels that are needed to tell a table
_TEXTURE_SIDE = 512  # cells along a side in which a field's limb is looked for
_FINE = 4  # pixels: smaller cells hold too few to tell their noise
_OUTSTANDING = np.float32(4.0)  # times the median change from pixel to pixel
_FITS = 12.0  # counts of 255 that a picture's colours may lie from a table; 150 real ones: 3 to 4
_FIELD_ARCSEC = 4096 * 0.504  # across SDO's full-disk pictures of HMI: 150 of them have 0.5041 +- 0.0003
_PICTURE_SIDES = frozenset({256, 512, 1024, 2048, 4096})
_LEAST_RADIUS_PX = 12.0  # what `fit_limb` needs
_CERTAIN, _ELSEWHERE = 0.6, 0.01  # share of the rays that agree on a limb; offset in radii
_WHOLE_DISK = 0.96  # of the disk's diameter in the frame's smaller side: less is a cut-out
#: Gauss in one of each unit; a field of 1 Mx/cm^2 filling its pixel is 1 G.
_GAUSS = {"g": 1.0, "gauss": 1.0, "mx/cm^2": 1.0, "mx/cm2": 1.0, "kg": 1e3, "t": 1e4, "mt": 10.0}
_FIELD_RANGE_G = (
    20.0,
    6000.0,
)  # strongest pixel of a field that states no unit and is believed to be in gauss


class Extent(StrEnum):
    """How much of the Sun a frame shows."""

    DISK = "disk"
    CUT_OUT = "cut_out"  # with pointing, smaller than the disk
    PATCH = "patch"  # no disk is known: a patch in pixels, or mapped on the sphere


@dataclass(frozen=True)
class Plane:
    """Numbers of a frame in one plane.

    Attributes
    ----------
    pixels : ndarray, shape (height, width)
        uint8, int16, uint16 or float32, rows as in the frame; NaN where there is no data.
    quantity : Quantity
    is_picture : bool
        Whether the values are a display brightness of 8 bits and no physical numbers.
    frame : Frame
    """

    pixels: np.ndarray
    quantity: Quantity
    is_picture: bool
    frame: Frame

    @property
    def is_field(self) -> bool:
        """Whether it shows the line-of-sight field."""
        return self.quantity is Quantity.FIELD

    def averaged(self) -> tuple[np.ndarray, int]:
        """Pixels averaged over squares as far as that was done already, and the squares' side (1, 2 or 4)."""
        if self.pixels is self.frame.pixels and min(self.pixels.shape) >= 1024:
            for side, name in ((4, "quartered"), (2, "halved")):
                if (found := getattr(self.frame, name)) is not None:
                    return found, side
        return self.pixels, 1


@dataclass(frozen=True)
class Scene:
    """Where the Sun is in a frame.

    Attributes
    ----------
    extent : Extent
    disk : Pointing or None
        The header's, the archive's or the fitted one; None for patches.
    limb : LimbFit or None
        The limb as it is seen; None where none is found or none is looked for.
    place : View or None
        Where the pixels lie on the Sun; None for a patch in pixels.
    """

    extent: Extent
    disk: Pointing | None = None
    limb: LimbFit | None = None
    place: View | None = None

    @property
    def cdelt_arcsec(self) -> float | None:
        """Plate scale at disk centre; None when unknown."""
        return None if self.place is None else self.place.pixel_arcsec

    @property
    def seen(self) -> Pointing | None:
        """The disk where its limb is seen, when that is certainly elsewhere than stated; else the stated one."""
        if self.disk is None or self.limb is None or self.limb.fraction_accepted < _CERTAIN:
            return self.disk
        if compare_pointing(self.limb, self.disk).offset_fraction < _ELSEWHERE:
            return self.disk
        return replace(self.limb.to_pointing(self.disk.rsun_arcsec), roll_deg=self.disk.roll_deg)


def plane_of(frame: Frame) -> Plane:
    """Return a frame's numbers, its colours undone.

    Raises
    ------
    UnusableInputError
        When a picture's colours are neither grey nor those in which the continuum is shown.
    """
    quantity = Quantity.FIELD if frame.instrument.endswith("magnetogram") else Quantity.CONTINUUM
    pixels = frame.pixels
    if pixels.ndim == 3:
        return Plane(_uncoloured(pixels, quantity), quantity, True, frame)
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8)
    if pixels.dtype not in _HANDY or not pixels.dtype.isnative:
        pixels = pixels.astype(np.float32)
    if pixels.dtype == np.float32 and np.isinf(pixels[:: max(1, len(pixels) // 64)]).any():
        pixels = np.where(np.isinf(pixels), np.float32("nan"), pixels)
    return Plane(pixels, quantity, pixels.dtype == np.uint8, frame)


def _uncoloured(pixels: np.ndarray, quantity: Quantity) -> np.ndarray:
    if pixels.dtype != np.uint8:
        raise UnusableInputError(
            f"the picture has colours of {pixels.dtype.itemsize * 8} bits: give it in grey"
        )
    step = max(1, min(pixels.shape[:2]) // 112)
    sample = np.ascontiguousarray(pixels[step // 2 :: step, step // 2 :: step]).reshape(-1, 3)
    sample = sample[sample.max(axis=1) > _DARK].astype(np.float32)
    if len(sample) < _LEAST_LIT:
        return np.asarray(pixels.max(axis=2))
    if _distance(sample, _grey()) < _FITS:
        return np.ascontiguousarray(pixels[..., 1])
    if quantity is Quantity.CONTINUUM and _distance(sample, _orange()) < _FITS:
        return undo(pixels, _orange())
    known = "grey" if quantity is Quantity.FIELD else "grey or in the orange of SDO's browse pictures"
    raise UnusableInputError(
        f"the picture's colours cannot be turned into brightness: give it {known}, or as FITS or JPEG 2000"
    )


@cache
def _orange() -> ColourTable:
    """Colours of SDO's continuum pictures, read off 150 of them: green is the brightness itself."""
    i = np.arange(256, dtype=np.float32)
    red, blue = np.clip(i * (255.0 / 87.0), 0, 255), np.clip((i - 164.0) * (255.0 / 91.0), 0, 255)
    return ColourTable(None, np.stack([red, i, blue], axis=1).astype(np.float32))


@cache
def _grey() -> ColourTable:
    i = np.arange(256, dtype=np.float32)
    return ColourTable(None, np.stack([i, i, i], axis=1))


def _distance(sample: FloatArray, table: ColourTable) -> float:
    """Median distance of colours from the table's at the same green, counts of 255."""
    apart = sample - table.rgb[np.rint(sample[:, 1]).astype(np.intp)]
    return float(np.median(np.sqrt(np.square(apart).sum(axis=1))))


def gauss_per_unit(frame: Frame) -> float | None:
    """Gauss in one unit of a field's pixels; None when the unit is unknown or is none of a field."""
    if frame.unit is not None:
        return _GAUSS.get(frame.unit.strip().lower().replace("**", "^").replace("mx/cm^(2)", "mx/cm^2"))
    step = max(1, min(frame.pixels.shape[:2]) // 256)
    top = float(np.nanmax(np.abs(frame.pixels[::step, ::step].astype(np.float32))))
    return 1.0 if _FIELD_RANGE_G[0] <= top <= _FIELD_RANGE_G[1] else None


def scene_of(plane: Plane) -> Scene:
    """Find where the Sun's disk is: by the header, by the limb, by the archive's plate scale."""
    frame = plane.frame
    height, width = plane.pixels.shape
    stated = frame.pointing
    if stated is not None:
        if min(height, width) < _WHOLE_DISK * 2.0 * stated.radius_px:
            return Scene(Extent.CUT_OUT, stated, None, DiskView(stated))
        return Scene(Extent.DISK, stated, _limb(plane, stated), DiskView(stated))
    if _is_map(frame.header):
        return Scene(Extent.PATCH, place=view_of(frame))
    standard = _standard(frame) if plane.is_picture else None
    limb = _limb(plane, standard)
    if limb is not None and min(height, width) >= _WHOLE_DISK * 2.0 * limb.radius_px:
        disk = limb.to_pointing(rsun_arcsec_on(frame.date_obs))
        return Scene(Extent.DISK, disk, limb, DiskView(disk))
    return Scene(Extent.PATCH) if standard is None else Scene(Extent.DISK, standard, None, DiskView(standard))


def rsun_arcsec_on(date_obs: datetime | None) -> float:
    """Apparent solar radius at the Earth's distance; 959.63 when the time is not known."""
    return RSUN_1AU_ARCSEC if date_obs is None else SunView(date_obs).rsun_arcsec


def _is_map(header: Any) -> bool:
    """Whether the pixels lie on a map of the sphere (SHARP in equal-area projection)."""
    return str(header.get("CTYPE1", "")).upper().startswith(("CRLN", "HGLN"))


def _standard(frame: Frame) -> Pointing | None:
    """Pointing of SDO's full-disk pictures, north up; None for pictures of other sizes."""
    if frame.width != frame.height or frame.width not in _PICTURE_SIDES:
        return None
    rsun = rsun_arcsec_on(frame.date_obs)
    middle = (frame.width - 1) / 2.0
    return Pointing(middle, middle, rsun * frame.width / _FIELD_ARCSEC, rsun, 0.0, source="archive")


def _limb(plane: Plane, guess: Pointing | None) -> LimbFit | None:
    """Fit the limb of a continuum frame, or of a field the edge of what was measured."""
    if guess is not None and guess.radius_px < _LEAST_RADIUS_PX:
        return None
    if not plane.is_field or plane.is_picture:
        return fit_limb(plane.pixels, guess)
    texture, step = _smoothness(plane.pixels)
    if guess is not None:
        guess = replace(
            guess,
            center_x_px=(guess.center_x_px + 0.5) / step - 0.5,
            center_y_px=(guess.center_y_px + 0.5) / step - 0.5,
            radius_px=guess.radius_px / step,
        )
    fit = fit_limb(texture, guess)
    if fit is None:
        return None
    return replace(
        fit,
        center_x_px=(fit.center_x_px + 0.5) * step - 0.5,
        center_y_px=(fit.center_y_px + 0.5) * step - 0.5,
        radius_px=fit.radius_px * step,
        width_px=fit.width_px * step,
    )


def _smoothness(pixels: np.ndarray) -> tuple[FloatArray, int]:
    """Where a field is quiet, in cells, and the cells' side.

    Beyond the limb there is less light and so more noise, or nothing at all: NaN or zeros.
    """
    height, width = pixels.shape
    step = max(1, min(height, width) // _TEXTURE_SIDE)
    rows, columns = height // step, width // step
    every = max(1, step // 2)
    if rows < 2 or columns < 2:
        return np.zeros((rows, columns), np.float32), step
    part = pixels[: rows * step : every, : columns * step].astype(np.float32, copy=False)
    change = np.zeros(part.shape, np.float32)
    np.subtract(part[:, 1:], part[:, :-1], out=change[:, 1:])
    np.abs(change, out=change)
    # Elements of the network stand out of the noise, and are everywhere.
    usual = change[::8, ::8]
    usual = usual[usual > 0]
    if usual.size:
        np.minimum(change, _OUTSTANDING * np.float32(np.median(usual)), out=change)
    mean = np.asarray(cv2.resize(change, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)
    if step < _FINE:
        mean = np.asarray(cv2.blur(mean, (5, 5)), np.float32)
    known = mean > 0
    if not known.any():
        return np.zeros_like(mean), step
    quiet = np.float32(np.median(mean[known]))
    return np.where(known, quiet / (quiet + np.nan_to_num(mean)), np.float32(0)).astype(np.float32), step
