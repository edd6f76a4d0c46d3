"""H-alpha full disks: Kanzelhöhe (KSO), GONG, Big Bear (BBSO) and any other telescope."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from observatory.errors import MissingKeywordError
from observatory.frame import Pointing
from observatory.instruments.base import (
    RSUN_1AU_ARCSEC,
    Facts,
    Kind,
    dated,
    is_simulated,
    number,
)
from observatory.instruments.helioprojective import is_helioprojective, wcs_pointing
from observatory.observing import Habit, Observing
from observatory.sky import Site
from observatory.sun import fit_limb

HALPHA_NM = 656.28
_NAMES = (
    (re.compile(r"^kanz_halph_", re.IGNORECASE), "kso-halpha"),
    (re.compile(r"^kso_", re.IGNORECASE), "kso-halpha"),
    (re.compile(r"^\d{14}[A-Z]h\.fits(\.fz|\.gz)?$"), "gong-halpha"),
    (re.compile(r"^bbso_halph_f[a-z]_", re.IGNORECASE), "bbso-halpha"),
    (re.compile(r"(^|[^a-z])(h[-_]?alpha|halph)", re.IGNORECASE), "halpha"),
)
_OBSERVATORIES = {
    "kso-halpha": "Kanzelhöhe Solar Observatory",
    "gong-halpha": "NSO/GONG",
    "bbso-halpha": "Big Bear Solar Observatory",
}
_SITES = {
    "kso-halpha": Site(46.6784, 13.9019, 1526.0),
    "bbso-halpha": Site(34.2583, -116.9214, 2067.0),
}
_LEAST_ELEVATION_DEG = 5.0


class Halpha(Kind):
    """Full-disk H-alpha frames."""

    family = "halpha"
    names = ("kso-halpha", "gong-halpha", "bbso-halpha", "halpha")

    def claim_header(self, header: Mapping[str, Any], file_name: str) -> str | None:
        if not _is_halpha(header):
            return None
        origin = " ".join(
            str(header.get(key, "")) for key in ("ORIGIN", "TELESCOP", "OBSVTRY", "OBS-SITE", "INSTITUT")
        ).upper()
        if "KANZ" in origin or "KHPI" in origin or "KSO" in origin:
            return "kso-halpha"
        if "GONG" in origin:
            return "gong-halpha"
        if "BIG BEAR" in origin or "BBSO" in origin:
            return "bbso-halpha"
        return "halpha"

    def claim_name(self, file_name: str) -> str | None:
        return next((name for pattern, name in _NAMES if pattern.search(file_name)), None)

    def observing(self, instrument: str) -> Observing:
        if instrument == "gong-halpha":  # six stations around the world
            return Observing()
        return Observing(Habit.DAY, _SITES.get(instrument), _LEAST_ELEVATION_DEG)

    def claim_content(self, pixels: np.ndarray) -> str | None:
        """Claim a grey picture that shows a bright disk with a sharp limb, or nothing at all.

        A blank picture could come from any camera; it is taken for a telescope's, so that it is
        reported as underexposed or overexposed and not refused.
        """
        if pixels.ndim == 3 and not _is_grey(pixels):
            return None
        plane = pixels if pixels.ndim == 2 else pixels[..., 0]
        sample = plane[:: max(1, plane.shape[0] // 256), :: max(1, plane.shape[1] // 256)]
        if not np.isfinite(sample).any() or np.nanmax(sample) == np.nanmin(sample):
            return "halpha"
        return "halpha" if fit_limb(np.ascontiguousarray(plane)) is not None else None

    def facts(self, instrument: str, header: Mapping[str, Any], file_name: str) -> Facts:
        date_obs, source = dated(header, file_name)
        exposure = number(header, "EXPTIME", "EXPOSURE", "XPOSURE")
        milliseconds = number(header, "EXP_TIME")  # Kanzelhöhe's keyword
        if exposure is None and milliseconds is not None:
            exposure = milliseconds / 1000.0
        return Facts(
            date_obs=date_obs,
            date_obs_source=source,
            observatory=_OBSERVATORIES.get(instrument),
            wavelength_nm=HALPHA_NM,
            exposure_time_s=exposure,
            unit=str(header["BUNIT"]) if header.get("BUNIT") else None,
            pointing=_pointing(header),
            is_simulated=is_simulated(header),
        )


def _is_halpha(header: Mapping[str, Any]) -> bool:
    words = " ".join(
        str(header.get(key, "")) for key in ("OBS_TYPE", "IMTYPE", "FILTER", "WAVELNTH", "OBJECT")
    )
    if re.search(r"h[-_ ]?alph", words, re.IGNORECASE):
        return True
    wavelength = number(header, "WAVELNTH", "WAVELEN")
    return wavelength is not None and any(
        abs(wavelength * unit - HALPHA_NM) < 0.5
        for unit in (0.1, 1.0)  # angstrom, nanometre
    )


def _is_grey(pixels: np.ndarray) -> bool:
    sample = pixels[::16, ::16].astype(np.int32)
    return bool(np.abs(np.diff(sample, axis=2)).mean() < 3)


def _pointing(header: Mapping[str, Any]) -> Pointing | None:
    """Disk as the observatory's own software found it, FITS counts pixels from 1; else as a WCS tells it."""
    center = number(header, "CENTER_X", "FNDLMBXC"), number(header, "CENTER_Y", "FNDLMBYC")
    radius = number(header, "SOLAR_R", "FNDLMBMI")
    if center[0] is None or center[1] is None or radius is None or radius <= 0:
        return _by_wcs(header)
    rsun = number(header, "RSUN_OBS", "RSUN_ARC", "SOLAR-R") or RSUN_1AU_ARCSEC
    angle = number(header, "ANGLE")
    return Pointing(
        center_x_px=center[0] - 1,
        center_y_px=center[1] - 1,
        radius_px=radius,
        rsun_arcsec=rsun,
        # Kanzelhöhe's ANGLE has the other sign: PCi_j = R(-ANGLE), where CROTA2 means R(CROTA2).
        roll_deg=number(header, "CROTA2") if angle is None else -angle,
        source="header",
    )


def _by_wcs(header: Mapping[str, Any]) -> Pointing | None:
    """Disk by helioprojective coordinates; None where they are not whole: the limb tells it, but for north."""
    if not is_helioprojective(header):
        return None
    try:
        return wcs_pointing(header)
    except MissingKeywordError:
        return None
