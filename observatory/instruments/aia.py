"""SDO/AIA and GOES/SUVI: the corona in extreme ultraviolet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np

from observatory.coordinates import SunView
from observatory.errors import AmbiguousInstrumentError, MissingKeywordError
from observatory.euv.colours import certain_table, fitting_tables, undo
from observatory.euv.disk import search_limb
from observatory.frame import Pointing
from observatory.instruments.base import Facts, Kind, dated, is_simulated, number
from observatory.instruments.formats.fits import card_number
from observatory.instruments.helioprojective import check_square, wcs_pointing
from observatory.observing import Observing

_AIA_CHANNELS = (94, 131, 171, 193, 211, 304, 335, 1600, 1700, 4500)  # Lemen et al. 2012, table 1
_SUVI_CHANNELS = (171, 195)
_SUVI_SHOWN_AS = {171: 171, 193: 195}  # AIA's colours to the SUVI channel that is shown in them
_AIA_NAME = re.compile(r"(?:^|[^a-z])(?:sdo_)?aia(?:[^a-z]|$)", re.IGNORECASE)
_SUVI_NAME = re.compile(r"(?:^|[^a-z])suvi", re.IGNORECASE)
_BROWSE_NAME = re.compile(r"(?:^latest|^\d{8}_\d{6})_(?:512|1024|2048|4096)_0*(\d{2,4})\.(?:jpg|png)$")
_NUMBER = re.compile(r"(?<![0-9T])0*(\d{2,4})(?![0-9])")
#: Radius of the disk as a share of the side, between which AIA and SUVI pictures are told apart:
#: AIA 0.384 to 0.397 (0.6 arcsec x 4096), SUVI 0.295 to 0.305 (2.5 arcsec x 1280).
_AIA_RADIUS_SHARE, _SUVI_RADIUS_SHARE = (0.37, 0.41), (0.28, 0.32)
_LEAST_CORONA = 0.12  # brightness at 1.04 radii over the disk's: H-alpha shows a dark sky there
_RSUN_REF_M = 6.96e8  # AIA's headers


class Aia(Kind):
    """AIA and SUVI full disks and cut-outs."""

    family = "aia"
    names = (*(f"aia-{n}" for n in _AIA_CHANNELS), *(f"suvi-{n}" for n in _SUVI_CHANNELS))
    is_coloured_for_the_eye = True
    is_named_by_measurement = True

    def observing(self, instrument: str) -> Observing:
        return Observing(is_sdo=instrument.startswith("aia"))

    def claim_header(self, header: Mapping[str, Any], file_name: str) -> str | None:
        """Claim by instrument and WAVELNTH.

        Raises
        ------
        MissingKeywordError
            When the header is AIA's or SUVI's but its channel is none of theirs, or not the
            one that the file's name states: one of the two is wrong, and nothing says which.
        """
        prefix = _telescope(header)
        wavelength = _angstrom(header)
        if prefix is None or (wavelength is None and "WAVELNTH" not in header):
            return None
        channels = _AIA_CHANNELS if prefix == "aia" else _SUVI_CHANNELS
        claim = None if wavelength is None else _named(prefix, round(wavelength), channels)
        if claim is None:
            known = ", ".join(str(channel) for channel in channels)
            raise MissingKeywordError(
                "WAVELNTH",
                f"{header['WAVELNTH']!r} is no channel that is read of {prefix.upper()} ({known}); "
                "name the instrument (--instrument)",
            )
        by_name = self.claim_name(file_name)
        if by_name is not None and by_name.startswith(prefix) and by_name != claim:
            raise MissingKeywordError(
                "WAVELNTH",
                f"the header says {claim}, the file's name {by_name}; name the right one (--instrument)",
            )
        return claim

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

    def claim_content(self, pixels: np.ndarray) -> str | None:
        """Claim a picture in the colours of a channel that shows a solar limb.

        Raises
        ------
        AmbiguousInstrumentError
            When the colours are known but the size of the disk is neither AIA's nor SUVI's, or
            no corona is seen around a disk in the red colours that H-alpha pictures share.
        """
        if pixels.ndim != 3 or pixels.dtype != np.uint8:
            return None
        fits = fitting_tables(pixels)
        table = certain_table(fits) if fits else None
        if table is None or table.channel is None:
            return None
        brightness = undo(pixels, table)
        limb = search_limb(brightness)
        if limb is None:
            return None
        aia, suvi = f"aia-{table.channel}", _SUVI_SHOWN_AS.get(table.channel)
        if table.channel == 304 and _corona(brightness, limb.to_pointing()) < _LEAST_CORONA:
            raise AmbiguousInstrumentError("the picture, by its colours,", [aia, "halpha"])
        share = limb.radius_px / min(pixels.shape[:2])
        if suvi is None or _AIA_RADIUS_SHARE[0] < share < _AIA_RADIUS_SHARE[1]:
            return aia
        if _SUVI_RADIUS_SHARE[0] < share < _SUVI_RADIUS_SHARE[1]:
            return f"suvi-{suvi}"
        raise AmbiguousInstrumentError("the picture, by its colours,", [aia, f"suvi-{suvi}"])

    def facts(self, instrument: str, header: Mapping[str, Any], file_name: str) -> Facts:
        date_obs, source = dated(header, file_name, "DATE-OBS", "DATE_OBS", "DATE-BEG", "T_OBS")
        prefix, _, channel = instrument.partition("-")
        check_square(header)
        return Facts(
            date_obs=date_obs,
            date_obs_source=source,
            observatory="GOES" if prefix == "suvi" else "SDO",
            wavelength_nm=int(channel) / 10 if channel.isdigit() else None,
            exposure_time_s=number(header, "EXPTIME", "XPOSURE", "CMD_EXP"),
            unit=str(header["BUNIT"]) if header.get("BUNIT") else None,
            pointing=wcs_pointing(_completed(header, date_obs)),
            is_simulated=is_simulated(header),
        )


def _telescope(header: Mapping[str, Any]) -> str | None:
    """Say ``aia`` or ``suvi``; None for another one."""
    words = f"{header.get('INSTRUME', '')} {header.get('TELESCOP', '')}".upper()
    if "SUVI" in words or "SOLAR ULTRAVIOLET IMAGER" in words:
        return "suvi"
    return "aia" if "AIA" in words else None


def _angstrom(header: Mapping[str, Any]) -> float | None:
    """Wavelength by WAVELNTH, also one that is written as text, and by WAVEUNIT; None for no number."""
    value = number(header, "WAVELNTH")
    if value is None and isinstance(header.get("WAVELNTH"), str):
        value = number({"WAVELNTH": card_number(header["WAVELNTH"].strip())}, "WAVELNTH")
    is_nm = str(header.get("WAVEUNIT") or "").strip().lower() in ("nm", "nanometer", "nanometre", "-9")
    return None if value is None else value * (10.0 if is_nm else 1.0)


def _completed(header: Mapping[str, Any], date_obs: datetime | None) -> Mapping[str, Any]:
    """Return a header that states the Sun's apparent radius and its roll.

    AIA's RSUN_OBS is missing in older files; the distance of the spacecraft gives it to 1e-5, the
    day to 1e-4 (SDO and GOES are near the Earth). R_SUN, in pixels, is of no use: level 1.5 files
    keep the value of level 1. SUVI writes CROTA where others write CROTA2.
    """
    added: dict[str, Any] = {}
    distance_m = number(header, "DSUN_OBS")
    if number(header, "RSUN_OBS", "RSUN") is None:
        if distance_m is not None and 1.3e11 < distance_m < 1.7e11:
            radius_m = number(header, "RSUN_REF") or _RSUN_REF_M
            added["RSUN_OBS"] = float(np.rad2deg(np.arcsin(radius_m / distance_m)) * 3600.0)
        elif date_obs is not None:
            added["RSUN_OBS"] = SunView(date_obs).rsun_arcsec
    if "CROTA2" not in header and number(header, "CROTA") is not None:
        added["CROTA2"] = header["CROTA"]
    return {**header, **added} if added else header


def _corona(brightness: np.ndarray, disk: Pointing) -> float:
    """Brightness at 1.04 solar radii over the disk's."""
    angle = np.arange(0.0, 2 * np.pi, np.pi / 90)
    levels = []
    for radius in (1.04, 0.8):
        x = np.rint(disk.center_x_px + radius * disk.radius_px * np.cos(angle)).astype(int)
        y = np.rint(disk.center_y_px + radius * disk.radius_px * np.sin(angle)).astype(int)
        inside = (x >= 0) & (y >= 0) & (x < brightness.shape[1]) & (y < brightness.shape[0])
        levels.append(float(np.median(brightness[y[inside], x[inside]])) if inside.any() else 0.0)
    return levels[0] / max(levels[1], 1e-6)


def _named(prefix: str, channel: int, channels: tuple[int, ...]) -> str | None:
    return f"{prefix}-{channel}" if channel in channels else None
