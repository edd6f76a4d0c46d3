"""SDO/HMI: continuum and line-of-sight field, full disk, cut-outs and SHARP patches."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from observatory.coordinates import SunView
from observatory.errors import MissingKeywordError, UnusableInputError
from observatory.frame import DateSource
from observatory.instruments.base import Facts, Kind, dated, is_simulated, number
from observatory.instruments.helioprojective import is_helioprojective, pixel_matrix_arcsec, wcs_pointing
from observatory.observing import Observing

_WAVELENGTH_NM = 617.33
_CONTINUUM = re.compile(
    r"continuum|intensitygram|_ic[_.]|\.ic_|ic_noLimbDark|hmii[cf]?(?![a-z])", re.IGNORECASE
)
_FIELD = re.compile(r"magnetogram|blos|_m[_.]\d|m_45s|m_720s|hmibc?(?![a-z])", re.IGNORECASE)
#: ``hmi`` as a word, Helioviewer's names, and those of SDO's browse pictures (``…_1024_HMIB.jpg``).
_NAME = re.compile(r"(^|[^a-z])hmi([^a-z]|$)|SDO_HMI|_HMI(B|BC|I|IC|IF)\.[a-z0-9]+$", re.IGNORECASE)
#: Other segments of SHARP and vector series, by the last part but one of a JSOC file name.
_OTHER_SEGMENT = re.compile(
    r"\.(Br|Bt|Bp|Br_err|Bt_err|Bp_err|bitmap|conf_disambig|Dopplergram|inclination|azimuth|field|disambig)"
    r"\.fits?(\.(gz|fz|bz2))?$",
    re.IGNORECASE,
)
_READ = "hmi-continuum (continuum intensity) and hmi-magnetogram (line-of-sight field) are read"
#: What JSOC writes where a time or a link is missing.
_NO_TIME = re.compile(r"^\s*(missing|invalid|nan|\?|-4712[.:-]|1993\.01\.01_00:00:00)", re.IGNORECASE)
_TIME_KEYS = ("DATE-OBS", "DATE_OBS", "T_OBS", "T_REC")
_RSUN_REF_M = 6.96e8  # RSUN_REF of HMI's headers
_SDO_DISTANCE_M = (1.45e11, 1.54e11)  # perihelion to aphelion, and the orbit about the Earth
_LONGEST_EXPOSURE_S = 3600.0


class OtherProductError(UnusableInputError):
    """An HMI file that holds neither continuum nor line-of-sight field."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(
            f"the HMI file holds {what}, {why}: {_READ}; "
            "if it is one of the two, name it (--instrument hmi-continuum or hmi-magnetogram)"
        )


class Hmi(Kind):
    """HMI continuum intensity and line-of-sight magnetograms."""

    family = "hmi"
    names = ("hmi-continuum", "hmi-magnetogram")
    is_coloured_for_the_eye = True
    is_named_by_measurement = True

    def observing(self, instrument: str) -> Observing:
        return Observing(is_sdo=True)

    def claim_header(self, header: Mapping[str, Any], file_name: str) -> str | None:
        """Claim by CONTENT, else by the file's name, else by the unit.

        Raises
        ------
        OtherProductError
            When the header is HMI's and the file is some other observable: velocities, components of
            the inverted vector field, masks. The networks and thresholds of continuum and
            line-of-sight field say nothing about those.
        """
        if not _is_hmi(header):
            return None
        content = str(header.get("CONTENT") or "").upper()
        if "CONTINUUM" in content:
            return "hmi-continuum"
        if "MAGNETOGRAM" in content:
            return "hmi-magnetogram"
        segment = _OTHER_SEGMENT.search(file_name)
        if segment:
            raise _other_segment(segment[1])
        by_name = _product(file_name)
        if by_name is not None:
            return by_name
        return _by_unit(header, content)

    def claim_name(self, file_name: str) -> str | None:
        return _product(file_name) if _NAME.search(file_name) else None

    def facts(self, instrument: str, header: Mapping[str, Any], file_name: str) -> Facts:
        date_obs, source = _start(header, file_name)
        return Facts(
            date_obs=date_obs,
            date_obs_source=source,
            observatory="SDO",
            wavelength_nm=_WAVELENGTH_NM,
            exposure_time_s=number(header, "EXPTIME"),
            unit=str(header["BUNIT"]) if header.get("BUNIT") else None,
            pointing=wcs_pointing(_completed(header, date_obs)),
            is_simulated=is_simulated(header),
        )


def _is_hmi(header: Mapping[str, Any]) -> bool:
    """Say whether INSTRUME (``HMI_FRONT2``, ``HMI_SIDE1``, ``HMI_COMBINED``) or TELESCOP (``SDO/HMI``) names HMI."""
    words = (str(header.get(key) or "").strip().upper() for key in ("INSTRUME", "TELESCOP"))
    return any(word.startswith(("HMI", "SDO/HMI")) for word in words)


def _product(file_name: str) -> str | None:
    """Tell the observable by the file's name: SHARP headers say only 'HMI observable'."""
    if _CONTINUUM.search(file_name):
        return "hmi-continuum"
    return "hmi-magnetogram" if _FIELD.search(file_name) else None


def _other_segment(segment: str) -> OtherProductError:
    if segment.lower() in ("br", "bt", "bp", "field"):
        return OtherProductError(
            f"{segment} of the inverted vector field",
            "whose noise and resolution are not those of the line-of-sight field",
        )
    return OtherProductError(
        f"the segment {segment}", "which is no picture of the photosphere that is analysed"
    )


def _by_unit(header: Mapping[str, Any], content: str) -> str:
    """Observable of an HMI file whose header and name say nothing else.

    Counts per second are the continuum's alone. A field may be that along the line of sight or a
    component of the inverted vector: nothing in a SHARP header tells them apart.
    """
    unit = str(header.get("BUNIT") or "").strip()
    if unit.upper().startswith("DN"):
        return "hmi-continuum"
    if unit.lower() in ("mx/cm^2", "gauss", "g"):
        raise OtherProductError("a field", "and neither CONTENT nor the file's name says which")
    what = f"{content.lower() or 'something'} in {unit or 'no unit'}"
    raise OtherProductError(what, "which is neither of those that are analysed")


def _start(header: Mapping[str, Any], file_name: str) -> tuple[datetime | None, DateSource]:
    """Start of the exposure, UTC.

    DATE-OBS is that already; T_OBS is the middle of the exposure and T_REC the nominal slot, both in
    TAI. DATE-OBS is T_OBS less half of EXPTIME (keyword notes of the series hmi.Ic_45s, JSOC).
    """
    known = {key: value for key, value in header.items() if not (key in _TIME_KEYS and _is_missing(value))}
    time, source = dated(known, file_name, *_TIME_KEYS)
    if source is DateSource.HEADER and time is not None and not ({"DATE-OBS", "DATE_OBS"} & known.keys()):
        exposure_s = number(header, "EXPTIME")
        if "T_OBS" in known and exposure_s is not None and 0 < exposure_s < _LONGEST_EXPOSURE_S:
            time -= timedelta(seconds=exposure_s / 2)
    return time, source


def _is_missing(value: Any) -> bool:
    return value in (None, "") or _NO_TIME.match(str(value)) is not None


def _completed(header: Mapping[str, Any], date_obs: datetime | None) -> Mapping[str, Any]:
    """Return a header that states the Sun's apparent radius.

    It is that of RSUN_REF at the distance DSUN_OBS where RSUN_OBS is missing, else R_SUN (the fitted limb
    in pixels), else that of the day. A map on the sphere (SHARP in equal-area projection, CRLN-CEA) has no
    disk, and stays as it is.

    Raises
    ------
    MissingKeywordError
        When only half of a WCS is there.
    """
    _check_wcs(header)
    if not is_helioprojective(header) or number(header, "RSUN_OBS") is not None:
        return header
    radius = _rsun_arcsec(header, date_obs)
    return header if radius is None else {**header, "RSUN_OBS": radius}


def _rsun_arcsec(header: Mapping[str, Any], date_obs: datetime | None) -> float | None:
    distance_m = number(header, "DSUN_OBS")
    if distance_m is not None and _SDO_DISTANCE_M[0] < distance_m < _SDO_DISTANCE_M[1]:
        radius_m = number(header, "RSUN_REF") or _RSUN_REF_M
        return float(np.rad2deg(np.arcsin(radius_m / distance_m)) * 3600.0)
    radius_px, matrix = number(header, "R_SUN"), pixel_matrix_arcsec(header)
    if radius_px is not None and matrix is not None and radius_px > 0:
        return radius_px * float(np.hypot(matrix[0, 0], matrix[1, 0]))
    return None if date_obs is None else SunView(date_obs).rsun_arcsec


def _check_wcs(header: Mapping[str, Any]) -> None:
    """Refuse half a WCS: scale without reference pixel, reference pixel without scale, one axis alone."""
    keys = ["CRPIX1", "CRPIX2", "CDELT1", "CDELT2"]
    if all(number(header, f"CD{axis}_{axis}") is not None for axis in (1, 2)):
        keys = keys[:2]  # CD holds the scale
    lacking = [key for key in keys if number(header, key) is None]
    if lacking and len(lacking) < len(keys):
        there = ", ".join(key for key in keys if key not in lacking)
        raise MissingKeywordError(
            ", ".join(lacking),
            f"the header has {there} alone, half a WCS: complete it, or take it out for a patch in pixels",
        )
