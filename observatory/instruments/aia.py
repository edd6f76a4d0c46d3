"""SDO/AIA and GOES/SUVI: the corona in extreme ultraviolet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from observatory.instruments.base import Facts, Kind, dated, is_simulated, number, wcs_pointing

_AIA_CHANNELS = (94, 131, 171, 193, 211, 304, 335, 1600, 1700, 4500)  # Lemen et al. 2012, table 1
_SUVI_CHANNELS = (171, 195)
_AIA_NAME = re.compile(r"(?:^|[^a-z])(?:sdo_)?aia(?:[^a-z]|$)", re.IGNORECASE)
_SUVI_NAME = re.compile(r"(?:^|[^a-z])suvi", re.IGNORECASE)
_BROWSE_NAME = re.compile(r"(?:^latest|^\d{8}_\d{6})_(?:512|1024|2048|4096)_0*(\d{2,4})\.(?:jpg|png)$")
_NUMBER = re.compile(r"(?<![0-9T])0*(\d{2,4})(?![0-9])")


class Aia(Kind):
    """AIA and SUVI full disks and cut-outs."""

    family = "aia"
    names = (*(f"aia-{n}" for n in _AIA_CHANNELS), *(f"suvi-{n}" for n in _SUVI_CHANNELS))

    def claim_header(self, header: Mapping[str, Any], file_name: str) -> str | None:
        instrument = f"{header.get('INSTRUME', '')} {header.get('TELESCOP', '')}".upper()
        wavelength = number(header, "WAVELNTH")
        if wavelength is None:
            return None
        if "SUVI" in instrument:
            return _named("suvi", int(wavelength), _SUVI_CHANNELS)
        return _named("aia", int(wavelength), _AIA_CHANNELS) if "AIA" in instrument else None

    def claim_name(self, file_name: str) -> str | None:
        browse = _BROWSE_NAME.search(file_name)
        if browse:
            return _named("aia", int(browse[1]), _AIA_CHANNELS)
        for prefix, pattern, channels in (
            ("aia", _AIA_NAME, _AIA_CHANNELS),
            ("suvi", _SUVI_NAME, _SUVI_CHANNELS),
        ):
            if pattern.search(file_name):
                claims = [_named(prefix, int(word), channels) for word in _NUMBER.findall(file_name)]
                return next((claim for claim in reversed(claims) if claim), None)
        return None

    def facts(self, instrument: str, header: Mapping[str, Any], file_name: str) -> Facts:
        date_obs, source = dated(header, file_name, "DATE-OBS", "DATE_OBS", "T_OBS")
        prefix, _, channel = instrument.partition("-")
        return Facts(
            date_obs=date_obs,
            date_obs_source=source,
            observatory="GOES" if prefix == "suvi" else "SDO",
            wavelength_nm=int(channel) / 10 if channel.isdigit() else None,
            exposure_time_s=number(header, "EXPTIME"),
            unit=str(header["BUNIT"]) if header.get("BUNIT") else None,
            pointing=wcs_pointing(header),
            is_simulated=is_simulated(header),
        )


def _named(prefix: str, channel: int, channels: tuple[int, ...]) -> str | None:
    return f"{prefix}-{channel}" if channel in channels else None
