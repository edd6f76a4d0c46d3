"""All-sky cameras: THEMIS, REGO, TREx, Rainbow, NASCAM and any other.

A camera that writes one of the formats that are read needs no code: settings tell its lens or skymap, mask,
site, and the time in its file names (`observatory.camera_settings`). A network with a name of its own gets
a line in `_NAMES`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from observatory.camera_clock import UNDATED, Clock, Dated, as_utc, by_pattern, judged, zone
from observatory.errors import MissingKeywordError
from observatory.frame import DateSource
from observatory.instruments.base import (
    Facts,
    Kind,
    header_date,
    is_simulated,
    name_time,
    number,
    parse_time,
)
from observatory.observing import Habit, Observing
from observatory.sky import Site

_NAMES = (
    (re.compile(r"themis\d\d|^thg_l1_as[fk]_", re.IGNORECASE), "themis-asi"),
    (re.compile(r"_rego-\d+|^rego", re.IGNORECASE), "rego"),
    (re.compile(r"_rgb-\d\d", re.IGNORECASE), "trex-rgb"),
    (re.compile(r"_nir-\d+", re.IGNORECASE), "trex-nir"),
    (re.compile(r"_blueline|_blue-\d+", re.IGNORECASE), "trex-blue"),
    (re.compile(r"rainbow-\d\d", re.IGNORECASE), "rainbow"),
    (re.compile(r"all-?sky|nascam|^kho\d?_|_asi[_.]", re.IGNORECASE), "allsky"),
)
_WAVELENGTHS_NM = {"rego": 630.0, "trex-nir": 844.6, "trex-blue": 427.8}
# The networks' own names: day_hourminute[second][_microsecond]_site_device; films start on the minute.
_NETWORK_TIME = re.compile(r"^(\d{8})_(\d{4})(\d{2})?_(?:(\d{6})_)?")
_FILTER = re.compile(r"_(\d{4})(?:bg)?_0*(\d+)ms", re.IGNORECASE)  # angstrom and exposure: NASCAM
_EXPOSURE = re.compile(r"_(\d+)ms(?:_|\.)", re.IGNORECASE)
_TREX_EXPOSURE = "SUBFRAME REQUESTED EXPOSURE"  # "43.000 ms"
# What NASCAM's cameras write into their pictures' description.
_TOLD_TIME = re.compile(r"EXPOSURE_AT \w{3} (\w{3} \d{2} \d\d:\d\d:\d\d) UTC (\d{4})")
_TOLD_PLACE = re.compile(r"GDLAT\s+([\d.]+)\s+([NS])\s+GDLON\s+([\d.]+)\s+([EW])")
_BINNING = re.compile(r"XBIN=(\d+)\s+YBIN=(\d+)")
# Degrees, or degrees with minutes and seconds, with a sign or the side of the Earth.
_ANGLE = re.compile(
    r"([+-]?)\s*(\d{1,3}(?:\.\d*)?)(?:[ :d°]+(\d{1,2}(?:\.\d*)?)(?:[ :m']+(\d{1,2}(?:\.\d*)?))?)?"
    r"(?:\s*(?:deg|°|'|s|\"))?\s*([NSEW]?)"
)
_LATITUDES = ("GEODETIC LATITUDE", "GEOGRAPHIC LATITUDE", "OBSLAT", "SITELAT", "LAT-OBS", "EXIF-LATITUDE")
_LONGITUDES = (
    "GEODETIC LONGITUDE",
    "GEOGRAPHIC LONGITUDE",
    "OBSLONG",
    "SITELONG",
    "LONG-OBS",
    "EXIF-LONGITUDE",
)
_HEIGHTS = ("GEODETIC ALTITUDE", "OBSALT", "SITEELEV", "ALT-OBS")
_THEMIS_ASPECT = 1.036  # pixels of 8.6 x 16.6 micrometres, binned 2 x 1
_ARCHIVED_CDF = "thg_l1_asf"
"""THEMIS images in the archive's CDF files lie turned by 180 degrees against the cameras' own files and
their skymaps: seen by the stars of Gakona on 2011-01-06."""
_DARK_DEG = -6.0  # civil dusk

# THEMIS stations, degrees north and east (Mende et al. 2008, Space Sci. Rev. 141, 357, table 2): files of
# the archive name the station and not its place. To a tenth of a degree, enough for Sun and Moon.
_THEMIS_SITES = {
    "atha": (54.7, -113.3), "chbg": (49.8, -74.4), "ekat": (64.7, -110.7), "fsim": (61.8, -121.2),
    "fsmi": (60.0, -111.9), "fykn": (66.6, -145.2), "gako": (62.4, -145.2), "gbay": (53.3, -60.5),
    "gill": (56.4, -94.6), "inuv": (68.4, -133.8), "kapu": (49.4, -82.3), "kian": (67.0, -160.4),
    "kuuj": (58.1, -68.4), "mcgr": (63.0, -155.6), "pgeo": (53.9, -122.6), "pina": (50.2, -96.0),
    "rank": (62.8, -92.1), "snkq": (56.5, -79.2), "tpas": (54.0, -100.9), "whit": (60.7, -135.1),
}  # fmt: skip


class AllSky(Kind):
    """All-sky frames; films hold one frame each exposure."""

    family = "allsky"
    names = ("themis-asi", "rego", "trex-rgb", "trex-nir", "trex-blue", "rainbow", "allsky")

    def claim_header(self, header: Mapping[str, Any], file_name: str) -> str | None:
        project = f"{header.get('PROJECT UNIQUE ID', '')} {header.get('IMAGER UNIQUE ID', '')}".lower()
        for word, name in (("themis", "themis-asi"), ("rego", "rego"), ("rainbow", "rainbow")):
            if word in project:
                return name
        if project.startswith("trex"):
            words = (("rgb", "trex-rgb"), ("nir", "trex-nir"), ("blue", "trex-blue"))
            return next((name for word, name in words if word in project), None)
        told = f"{header.get('INSTRUME', '')} {header.get('TITLE', '')}".upper().replace("-", "")
        return "allsky" if "ALLSKY" in told else None

    def claim_name(self, file_name: str) -> str | None:
        return next((name for pattern, name in _NAMES if pattern.search(file_name)), None)

    def observing(self, instrument: str) -> Observing:
        return Observing(Habit.NIGHT, None, _DARK_DEG)  # where the camera stands, the settings say

    def facts(self, instrument: str, header: Mapping[str, Any], file_name: str) -> Facts:
        told = self.dated_by(header, file_name, Clock())
        filtered = _FILTER.search(file_name)
        wavelength = float(filtered[1]) / 10.0 if filtered else _WAVELENGTHS_NM.get(instrument)
        return Facts(
            date_obs=told.moment,
            date_obs_source=told.source,
            date_note=told.note,
            observatory=_printable(str(header.get("SITE NAME") or header.get("OBSERVAT") or "")) or None,
            wavelength_nm=wavelength,
            exposure_time_s=_exposure_s(header, file_name),
            is_simulated=is_simulated(header) or _says_simulated(header),
            site=_site(header, file_name),
            sky_aspect=_sky_aspect(header),
            is_turned=str(header.get("LOGICAL_SOURCE", "")).startswith(_ARCHIVED_CDF),
        )

    def dated_by(
        self,
        header: Mapping[str, Any],
        file_name: str,
        clock: Clock,
        *,
        is_film: bool = False,
        near: datetime | None = None,
    ) -> Dated:
        named = _name_time(file_name, clock, near)
        note = None
        try:
            moment = _header_time(header)
            if moment is None and header.get("EXIF-DATE"):
                exif = _exif_time(header, clock, near)
                moment, note = exif.moment, exif.note
                if moment is None:
                    return exif
        except MissingKeywordError as error:
            return Dated(None, DateSource.NONE, str(error))
        told = judged(moment, named, is_film=is_film)
        return told if note is None or told.moment is None else Dated(told.moment, told.source, note)


def _printable(text: str) -> str:
    """A camera's free text as the database can hold it: no control characters, not endless."""
    return "".join(letter for letter in text if letter.isprintable())[:128]


def _says_simulated(header: Mapping[str, Any]) -> bool:
    """Whether EXIF says it, which has no keyword for that."""
    return any("SIMULATED" in str(header.get(key, "")) for key in ("EXIF-DESCRIPTION", "EXIF-SOFTWARE"))


# -- time ---------------------------------------------------------------------------------------


def _header_time(header: Mapping[str, Any]) -> datetime | None:
    """Start of the exposure, which headers give in UTC."""
    requested = header.get("IMAGE REQUEST START")
    if requested:
        return parse_time(str(requested), "Image request start")
    found = header_date(header)
    told = _TOLD_TIME.search(str(header.get("DESCRIPTION", ""))) if found is None else None
    if told is None:
        return found
    try:
        return datetime.strptime(f"{told[1]} {told[2]}", "%b %d %H:%M:%S %Y").replace(tzinfo=UTC)
    except ValueError:
        return None


def _exif_time(header: Mapping[str, Any], clock: Clock, near: datetime | None) -> Dated:
    """EXIF's time: in the zone that it names, else in the camera's as settings tell it."""
    naive = parse_time(str(header["EXIF-DATE"]), "EXIF-DATE").replace(tzinfo=None)
    offset = str(header.get("EXIF-OFFSET") or "").strip()
    if offset:
        try:
            return Dated(naive.replace(tzinfo=zone(offset)).astimezone(UTC), DateSource.HEADER)
        except ValueError:
            offset = ""
    told = as_utc(naive, clock, near)
    if told.note is None and clock == Clock():
        note = (
            "EXIF tells no time zone: its time is taken for UTC (name the camera's timezone in the settings)"
        )
        return Dated(told.moment, DateSource.HEADER, note)
    return told


@lru_cache(maxsize=256)  # a film asks for each of its images, twice
def _name_time(file_name: str, clock: Clock, near: datetime | None) -> Dated:
    """Time in a file's name: by the camera's own pattern, by the networks' (UTC), by what is usual."""
    own = by_pattern(clock, file_name)
    if own is not None:
        return as_utc(own, clock, near)
    network = _NETWORK_TIME.match(file_name)
    if network:
        digits = f"{network[1]}{network[2]}{network[3] or '00'}{network[4] or '0'}"
        try:
            return Dated(
                datetime.strptime(digits, "%Y%m%d%H%M%S%f").replace(tzinfo=UTC), DateSource.FILE_NAME
            )
        except ValueError:
            return UNDATED
    usual = name_time(file_name).moment
    return UNDATED if usual is None else as_utc(usual.replace(tzinfo=None), clock, near)


# -- place, exposure, pixels ----------------------------------------------------------------------


def _site(header: Mapping[str, Any], file_name: str) -> Site | None:
    """Where the camera stands, as header, description or the name of a THEMIS station tells it."""
    latitude, longitude = _first(header, _LATITUDES, _degrees_of), _first(header, _LONGITUDES, _degrees_of)
    if latitude is None or longitude is None:
        told = _TOLD_PLACE.search(str(header.get("DESCRIPTION", "")))
        if told:
            latitude = float(told[1]) * (1 if told[2] == "N" else -1)
            longitude = float(told[3]) * (1 if told[4] == "E" else -1)
    if latitude is not None and longitude is not None:
        is_place = (
            abs(latitude) <= 90.0 and -360.0 <= longitude <= 360.0 and (latitude, longitude) != (0.0, 0.0)
        )
        height = _first(header, _HEIGHTS) or 0.0
        return Site(latitude, round((longitude + 180.0) % 360.0 - 180.0, 7), height) if is_place else None
    station = str(header.get("SITE UNIQUE ID", "")).lower()
    if not station and (found := re.search(r"_([a-z]{4})_themis\d\d|^thg_l1_as[fk]_([a-z]{4})_", file_name)):
        station = found[1] or found[2]
    return Site(*_THEMIS_SITES[station]) if station in _THEMIS_SITES else None


def _first(
    header: Mapping[str, Any], keys: tuple[str, ...], read: Callable[[str], float | None] | None = None
) -> float | None:
    """First number among keywords, also where it is written as text."""
    for key in keys:
        value = number(header, key)
        if value is None and isinstance(header.get(key), str):
            value = (read or _number_of)(header[key])
        if value is not None and abs(value) < 1e5:
            return value
    return None


def _number_of(text: str) -> float | None:
    """Number that a text begins with."""
    try:
        return float(text.split()[0])
    except (ValueError, IndexError):
        return None


def _degrees_of(text: str) -> float | None:
    """Degrees of ``-16.51``, ``-16 30 36``, ``69:35:11`` or ``18 56 30 W``."""
    found = _ANGLE.fullmatch(text.strip())
    if found is None:
        return _number_of(text)
    degrees = sum(float(part or 0.0) / 60.0**place for place, part in enumerate(found.groups()[1:4]))
    return -degrees if found[1] == "-" or found[5] in ("S", "W") else degrees


def _exposure_s(header: Mapping[str, Any], file_name: str) -> float | None:
    told = _first(header, ("EXPTIME", "EXPOSURE", "XPOSURE", "EXIF-EXPOSURE"))
    if told is not None and told >= 0:
        return told
    option = re.search(r"MSEC=([\d.]+)", str(header.get("EXPOSURE OPTIONS", ""))) or re.match(
        r"([\d.]+) *ms$", str(header.get(_TREX_EXPOSURE, ""))
    )
    written = _FILTER.search(file_name)
    milliseconds = option[1] if option else written[2] if written else None
    if milliseconds is None and (plain := _EXPOSURE.search(file_name)):
        milliseconds = plain[1]
    try:
        return None if milliseconds is None else float(milliseconds) / 1000.0
    except ValueError:
        return None


def _sky_aspect(header: Mapping[str, Any]) -> float | None:
    """Height over width of the sky's circle: of cameras that tell their pixels' shape and binning."""
    if str(header.get("LOGICAL_SOURCE", "")).startswith(_ARCHIVED_CDF):
        return _THEMIS_ASPECT
    pixel = _first(header, ("PIXEL ASPECT RATIO",))
    binning = _BINNING.search(str(header.get("EXPOSURE OPTIONS", "")))
    if pixel is None or binning is None or int(binning[2]) == 0:
        return None
    aspect = pixel * int(binning[1]) / int(binning[2])
    return aspect if 0.2 < aspect < 5.0 else None
