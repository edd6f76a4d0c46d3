"""Where the Sun's disk lies in a coronal frame: by its header, by its archive's plate scale, by its limb."""

from __future__ import annotations

import re
from datetime import datetime

import numpy as np

from observatory.coordinates import RSUN_1AU_ARCSEC, SunView
from observatory.errors import UnusableInputError
from observatory.euv.limb import LimbBend, find_bend, limb_height, ring_center
from observatory.euv.plane import Plane, channel_angstrom
from observatory.frame import DateSource, Frame, Pointing

#: Arcseconds across a full-disk picture: AIA level 1.5 has 4096 px of 0.6, SUVI 1280 px of 2.5.
_FIELD_ARCSEC = {"aia": 4096 * 0.6, "suvi": 1280 * 2.5}
#: How far the limb may lie from the archive's geometry before that is not believed, in radii: the
#: limb's own scatter is 0.002 in place and 0.0015 in radius, and 0.005 when the day is not known.
_SAME_PLACE, _SAME_RADIUS = 0.008, 0.007
_TRUSTED_DATES = (DateSource.HEADER, DateSource.FILE_NAME)  # a copy's file time is any day's
_ARCHIVE_NAME = re.compile(r"[_-](?:512|1024|2048|4096)(?:[_-]0?\d{3,4})?\.[a-z]+$", re.IGNORECASE)
_RSUN_RANGE_ARCSEC = (943.5, 976.0)  # from aphelion to perihelion
_LADDER = tuple(0.18 * 1.08**n for n in range(14))  # radii to try, shares of the side: up to 0.49


def disk_of(frame: Frame, plane: Plane) -> Pointing:
    """Return where the disk lies.

    The header says it (source ``header``). Full-disk browse pictures have their archive's plate
    scale with the Sun in the middle (``archive``); where the limb is seen elsewhere, or the day is
    not known, the limb counts (``limb``): some archives scale every disk to one size.

    Raises
    ------
    UnusableInputError
        When neither says it and no limb is found.
    """
    if frame.pointing is not None:
        return frame.pointing
    height_radii = limb_height(channel_angstrom(frame))
    roll = 0.0 if plane.is_picture else None  # pictures of the archives are turned north up
    if plane.is_picture and frame.height == frame.width:
        standard = standard_pointing(frame)
        found = _near(plane.pixels, standard, height_radii)
        if found is not None and found.is_certain:
            is_dated = frame.date_obs_source in _TRUSTED_DATES
            if is_dated and _agrees(found, standard):
                return standard
            rsun = standard.rsun_arcsec
            if not is_dated:  # the archive's plate scale then tells the Sun's size, within a year's range
                rsun = float(np.clip(rsun * found.radius_px / standard.radius_px, *_RSUN_RANGE_ARCSEC))
            return found.to_pointing(rsun, roll)
        if _ARCHIVE_NAME.search(frame.file_name):
            return standard  # the limb may be hidden, the name tells what it is
    found = search_limb(plane.pixels, height_radii)
    if found is None:
        raise UnusableInputError(
            "no solar limb is found in the frame and no header says where the Sun is: "
            "give it with its header (FITS, or JPEG 2000 of Helioviewer)"
        )
    return found.to_pointing(rsun_arcsec_on(frame.date_obs), roll)


def _near(pixels: np.ndarray, standard: Pointing, height_radii: float) -> LimbBend | None:
    """The limb of the archive's size in its place, else anywhere in the frame."""
    radius = standard.radius_px
    found = find_bend(pixels, standard.center_x_px, standard.center_y_px, radius, height_radii)
    if found is None or found.is_certain:
        return found
    return find_bend(pixels, *ring_center(pixels, radius * height_radii), radius, height_radii)


def search_limb(pixels: np.ndarray, height_radii: float = limb_height(None)) -> LimbBend | None:
    """Find a disk of any size near the middle of a picture; None when no limb is certain."""
    height, width = pixels.shape
    tried = (
        find_bend(pixels, (width - 1) / 2.0, (height - 1) / 2.0, share * min(height, width), height_radii)
        for share in _LADDER
    )
    certain = [bend for bend in tried if bend is not None and bend.is_certain]
    return max(certain, key=lambda bend: bend.certainty, default=None)


def standard_pointing(frame: Frame) -> Pointing:
    """Pointing of a full-disk browse picture of any size."""
    rsun = rsun_arcsec_on(frame.date_obs)
    field = _FIELD_ARCSEC["suvi" if frame.instrument.startswith("suvi") else "aia"]
    return Pointing(
        center_x_px=(frame.width - 1) / 2.0,
        center_y_px=(frame.height - 1) / 2.0,
        radius_px=rsun * frame.width / field,
        rsun_arcsec=rsun,
        roll_deg=0.0,
        source="archive",
    )


def rsun_arcsec_on(date_obs: datetime | None) -> float:
    """Apparent solar radius at Earth's distance; 959.63 when the time is not known."""
    return RSUN_1AU_ARCSEC if date_obs is None else SunView(date_obs).rsun_arcsec


def _agrees(found: LimbBend, standard: Pointing) -> bool:
    offset = np.hypot(found.center_x_px - standard.center_x_px, found.center_y_px - standard.center_y_px)
    return bool(
        offset < _SAME_PLACE * standard.radius_px
        and abs(found.radius_px / standard.radius_px - 1.0) < _SAME_RADIUS
    )
