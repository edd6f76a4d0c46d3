"""All-sky cameras: THEMIS, REGO, TREx, Rainbow and any other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from observatory.frame import DateSource
from observatory.instruments.base import Facts, Kind, dated, is_simulated, number, parse_time
from observatory.observing import Habit, Observing

_NAMES = (
    (re.compile(r"themis\d\d|^thg_l1_as[fk]_", re.IGNORECASE), "themis-asi"),
    (re.compile(r"_rego-\d+|^rego", re.IGNORECASE), "rego"),
    (re.compile(r"_rgb-\d\d", re.IGNORECASE), "trex-rgb"),
    (re.compile(r"_nir-\d+", re.IGNORECASE), "trex-nir"),
    (re.compile(r"_blueline|_blue-\d+", re.IGNORECASE), "trex-blue"),
    (re.compile(r"rainbow-\d\d", re.IGNORECASE), "rainbow"),
    (re.compile(r"all-?sky|^kho\d?_|_asi[_.]", re.IGNORECASE), "allsky"),
)
# The network's own names: day_hourminute[second]_site_device; films start on the minute.
_NETWORK_TIME = re.compile(r"^(\d{8})_(\d{4})(\d{2})?_")
_DARK_DEG = -6.0  # civil dusk


class AllSky(Kind):
    """All-sky frames; films hold one frame each exposure."""

    family = "allsky"
    names = ("themis-asi", "rego", "trex-rgb", "trex-nir", "trex-blue", "rainbow", "allsky")

    def claim_header(self, header: Mapping[str, Any], file_name: str) -> str | None:
        project = f"{header.get('PROJECT UNIQUE ID', '')} {header.get('IMAGER UNIQUE ID', '')}".lower()
        for word, name in (("themis", "themis-asi"), ("rego", "rego"), ("rainbow", "rainbow")):
            if word in project:
                return name
        return "allsky" if "ALLSKY" in str(header.get("INSTRUME", "")).upper().replace("-", "") else None

    def claim_name(self, file_name: str) -> str | None:
        return next((name for pattern, name in _NAMES if pattern.search(file_name)), None)

    def observing(self, instrument: str) -> Observing:
        return Observing(Habit.NIGHT, None, _DARK_DEG)  # where the camera stands, the settings say

    def facts(self, instrument: str, header: Mapping[str, Any], file_name: str) -> Facts:
        date_obs, source = _time(header, file_name)
        return Facts(
            date_obs=date_obs,
            date_obs_source=source,
            observatory=_printable(str(header.get("SITE NAME", ""))) or None,
            exposure_time_s=number(header, "EXPTIME"),
            is_simulated=is_simulated(header),
        )


def _printable(text: str) -> str:
    """A camera's free text as the database can hold it: no control characters, not endless."""
    return "".join(letter for letter in text if letter.isprintable())[:128]


def _time(header: Mapping[str, Any], file_name: str) -> tuple[datetime | None, DateSource]:
    requested = header.get("IMAGE REQUEST START")
    if requested:
        return parse_time(str(requested), "Image request start"), DateSource.HEADER
    date_obs, source = dated(header, file_name)
    if date_obs is None and (found := _NETWORK_TIME.match(file_name)):
        try:
            digits = f"{found[1]}{found[2]}{found[3] or '00'}"
            moment = datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        except ValueError:
            return None, DateSource.NONE
        return moment, DateSource.FILE_NAME
    return date_obs, source
