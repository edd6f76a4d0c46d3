"""Where the Sun's disk lies in a coronal frame: by its header, by its archive's plate scale, by its limb."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from observatory.errors import UnusableInputError
from observatory.euv.plane import Plane
from observatory.frame import Frame, Pointing
from observatory.sun import fit_limb

_RSUN_1AU_ARCSEC = 959.63
#: Arcseconds across a full-disk picture: AIA level 1.5 has 4096 px of 0.6, SUVI 1280 px of 2.5.
_FIELD_ARCSEC = {"aia": 4096 * 0.6, "suvi": 1280 * 2.5}


def disk_of(frame: Frame, plane: Plane) -> Pointing:
    """Return where the disk lies.

    The header says it; else a full-disk browse picture has its archive's standard plate scale with
    the Sun in the middle; else the limb is fitted.

    Raises
    ------
    UnusableInputError
        When no disk is found.
    """
    if frame.pointing is not None:
        return frame.pointing
    if plane.is_picture and frame.height == frame.width:
        return standard_pointing(frame)
    fit = fit_limb(plane.pixels)
    if fit is None:
        raise UnusableInputError("no solar disk is found in the picture, and no header says where it is")
    return fit.to_pointing(rsun_arcsec_on(frame.date_obs), roll_deg=0.0 if plane.is_picture else None)


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
    """Apparent solar radius at Earth's distance; 959.63 when the time is not known.

    The distance is the Astronomical Almanac's low-precision one (section C): good to 2e-4 au.
    """
    if date_obs is None:
        return _RSUN_1AU_ARCSEC
    days = (date_obs.timestamp() - 946728000.0) / 86400.0  # since 2000-01-01 12:00
    anomaly = np.deg2rad(357.528 + 0.9856003 * days)
    distance_au = 1.00014 - 0.01671 * np.cos(anomaly) - 0.00014 * np.cos(2 * anomaly)
    return float(_RSUN_1AU_ARCSEC / distance_au)
