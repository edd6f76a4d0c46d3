"""SDO/HMI: continuum and line-of-sight field, full disk and SHARP patches."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from observatory.instruments.base import Facts, Kind, dated, is_simulated, number, wcs_pointing
from observatory.observing import Observing

_WAVELENGTH_NM = 617.33
_CONTINUUM = re.compile(r"continuum|_ic[_.]|ic_noLimbDark", re.IGNORECASE)
_FIELD = re.compile(r"magnetogram|blos|_m[_.]\d|m_45s|m_720s", re.IGNORECASE)
_NAME = re.compile(r"(^|[^a-z])hmi([^a-z]|$)|SDO_HMI", re.IGNORECASE)


class Hmi(Kind):
    """HMI continuum intensity and line-of-sight magnetograms."""

    family = "hmi"
    names = ("hmi-continuum", "hmi-magnetogram")

    def observing(self, instrument: str) -> Observing:
        return Observing(is_sdo=True)

    def claim_header(self, header: Mapping[str, Any], file_name: str) -> str | None:
        if not str(header.get("INSTRUME", header.get("TELESCOP", ""))).upper().startswith(("HMI", "SDO/HMI")):
            return None
        content = str(header.get("CONTENT", "")).upper()
        if "CONTINUUM" in content:
            return "hmi-continuum"
        if "MAGNETOGRAM" in content:
            return "hmi-magnetogram"
        return _product(file_name)

    def claim_name(self, file_name: str) -> str | None:
        return _product(file_name) if _NAME.search(file_name) else None

    def facts(self, instrument: str, header: Mapping[str, Any], file_name: str) -> Facts:
        date_obs, source = dated(header, file_name, "DATE-OBS", "DATE_OBS", "T_OBS", "T_REC")
        return Facts(
            date_obs=date_obs,
            date_obs_source=source,
            observatory="SDO",
            wavelength_nm=_WAVELENGTH_NM,
            exposure_time_s=number(header, "EXPTIME"),
            unit=str(header["BUNIT"]) if header.get("BUNIT") else None,
            pointing=wcs_pointing(header),
            is_simulated=is_simulated(header),
        )


def _product(file_name: str) -> str | None:
    """Tell the observable by the file's name: SHARP headers say only 'HMI observable'."""
    if _CONTINUUM.search(file_name):
        return "hmi-continuum"
    return "hmi-magnetogram" if _FIELD.search(file_name) else None
