"""What every kind of frame must be able to tell: recognise itself, read its facts.

A kind of frame is one module in this package that defines a subclass of `Kind`; the look-up
finds it by itself, so a new camera is one new file.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from observatory.camera_clock import Clock, Dated
from observatory.errors import MissingKeywordError
from observatory.frame import DateSource, Pointing
from observatory.observing import Observing
from observatory.sky import Site

# TAI - UTC in seconds from each date on (IERS Bulletin C); no leap second since 2017.
_LEAP_SECONDS = (
    (datetime(2017, 1, 1, tzinfo=UTC), 37),
    (datetime(2015, 7, 1, tzinfo=UTC), 36),
    (datetime(2012, 7, 1, tzinfo=UTC), 35),
    (datetime(2009, 1, 1, tzinfo=UTC), 34),
    (datetime(2006, 1, 1, tzinfo=UTC), 33),
    (datetime(1999, 1, 1, tzinfo=UTC), 32),
)
_STARTS = ("DATE-OBS", "DATE_OBS", "DATE-BEG")  # the last: FITS standard 4.0, table 22, and SOLARNET
_SECONDS_AFTER_TAI = {"TAI": 0.0, "TT": 32.184}
_LARGEST = 1e300  # beyond it lie infinity and integers that no float holds; NaN is not below it either
_FIRST_PLATE_YEAR = 1900  # headers of digitised plates go back to there; names of files do not
_FIRST_YEAR, _LAST_YEAR = 1970, 2099  # what lies outside is a broken clock, a size or a channel
RSUN_1AU_ARCSEC = 959.63  # Auwers (1891); IAU value until 2015, still the one in most headers


@dataclass(frozen=True)
class Facts:
    """What header and name say of a frame before its pixels are looked at.

    Attributes
    ----------
    date_note : str or None
        Why there is no time, or why it is in doubt.
    site : Site or None
        Where the camera stands.
    sky_aspect : float or None
        Height over width of the sky's circle, where the pixels are known not to be square.
    is_turned : bool
        Whether the rows and columns run against those of the camera's own files.
    """

    date_obs: datetime | None = None
    date_obs_source: DateSource = DateSource.NONE
    date_note: str | None = None
    observatory: str | None = None
    wavelength_nm: float | None = None
    exposure_time_s: float | None = None
    unit: str | None = None
    pointing: Pointing | None = None
    is_simulated: bool = False
    site: Site | None = None
    sky_aspect: float | None = None
    is_turned: bool = False


class Kind(ABC):
    """One kind of frame.

    Attributes
    ----------
    family : str
        Name of the pipeline that its frames go through: the module's name.
    names : tuple of str
        Instruments of this kind that are known without configuration.
    is_coloured_for_the_eye : bool
        Whether coloured pictures are an archive's, in colours that mean a brightness: these have eight bits.
    is_named_by_measurement : bool
        Whether `names` say what is measured (a channel, an observable), and not where.
    """

    family: ClassVar[str]
    names: ClassVar[tuple[str, ...]]
    is_coloured_for_the_eye: ClassVar[bool] = False
    is_named_by_measurement: ClassVar[bool] = False

    @abstractmethod
    def claim_header(self, header: Mapping[str, Any], file_name: str) -> str | None:
        """Instrument's name when the header says so."""

    @abstractmethod
    def claim_name(self, file_name: str) -> str | None:
        """Instrument's name when the file's name says so."""

    def observing(self, instrument: str) -> Observing:
        """When such an instrument can observe, as far as its kind tells; settings may say otherwise."""
        return Observing()

    def dated_by(
        self,
        header: Mapping[str, Any],
        file_name: str,
        clock: Clock,
        *,
        is_film: bool = False,
        near: datetime | None = None,
    ) -> Dated | None:
        """Time of a frame whose camera's clock settings describe; None: as `facts` tells it.

        Parameters
        ----------
        is_film : bool
            Whether the file holds several images.
        near : datetime or None
            When the file was written.
        """
        return None

    def claim_content(self, pixels: np.ndarray) -> str | None:
        """Instrument's name when the pixels say so: the last resort."""
        return None

    @abstractmethod
    def facts(self, instrument: str, header: Mapping[str, Any], file_name: str) -> Facts:
        """Facts of a frame of this kind.

        Raises
        ------
        MissingKeywordError
            When the header contradicts itself or cannot be understood.
        """


def header_date(header: Mapping[str, Any], *keys: str) -> datetime | None:
    """Start of the exposure from the first keyword that is there.

    Raises
    ------
    MissingKeywordError
        When a keyword is there but cannot be read as a time.
    """
    found = _time_text(header, keys)
    return None if found is None else parse_time(_on_scale(found[0], header), found[1])


_TOLD_SCALE = re.compile(r"(Z|TAI|TT|UTC?|[+-]\d{2}:?\d{2})$", re.IGNORECASE)


def _on_scale(text: str, header: Mapping[str, Any]) -> str:
    """A time with the scale of TIMESYS, where it says none itself (FITS standard 4.0, section 9.2.1)."""
    scale = str(header.get("TIMESYS") or "").strip().upper()
    is_other = scale in _SECONDS_AFTER_TAI and ":" in text and _TOLD_SCALE.search(text) is None
    return f"{text}_{scale}" if is_other else text


def _time_text(header: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[str, str] | None:
    """What the first keyword that is there says, with the clock where another one has it; and its name."""
    for key in keys or _STARTS:
        value = header.get(key)
        if value in (None, ""):
            continue
        text = str(value).strip()
        clock = str(header.get("TIME-OBS", header.get("TIME_OBS", ""))).strip()
        if "T" not in text and "_" not in text and " " not in text and clock:
            text = f"{text}T{clock}"
        return text, key
    return None


_DAY_ALONE = re.compile(r"\d{4}[-/]\d{2}[-/]\d{2}|\d{2}/\d{2}/\d{2}")


@lru_cache(maxsize=1024)  # of an image asked for several times
def parse_time(text: str, key: str) -> datetime:
    """ISO 8601, also with slashes, JSOC's ``2011.02.15_02:00:00_TAI`` and the old ``dd/mm/yy``, to aware UTC."""
    word = text.strip()
    after_tai_s = next((s for scale, s in _SECONDS_AFTER_TAI.items() if word.upper().endswith(scale)), None)
    word = re.sub(r"[_ ]?(TAI|TT|UTC|UT)$", "", word, flags=re.IGNORECASE)
    word = re.sub(r"^(\d{4})[.:/](\d{2})[.:/](\d{2})(?=[_ T]|$)", r"\1-\2-\3", word).replace("_", "T", 1)
    word = re.sub(r"^(\d{2})/(\d{2})/(\d{2})(?=T|$)", r"19\3-\2-\1", word)
    word = re.sub(r"(\.\d{6})\d+", r"\1", word)
    word = re.sub(r"(:\d{2}):60(\.\d+)?(?=Z|[+-]|$)", r"\1:59", word)  # a leap second has no datetime
    try:
        time = datetime.fromisoformat(word)
    except ValueError as error:
        raise MissingKeywordError(key, f"{text!r} is not a time (ISO 8601 is expected)") from error
    try:
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        if after_tai_s is not None:
            time -= timedelta(seconds=after_tai_s)
            # The table's dates are UTC, so the lag is tried on the time that it would give.
            lags = (lag for since, lag in _LEAP_SECONDS if time - timedelta(seconds=lag) >= since)
            time -= timedelta(seconds=next(lags, 32))
    except OverflowError as error:
        raise MissingKeywordError(key, f"{text!r} lies outside the calendar") from error
    if not _FIRST_PLATE_YEAR <= time.year <= _LAST_YEAR:
        raise MissingKeywordError(key, f"{text!r} is no date of an observation")
    return time


_NAME_TIME = re.compile(
    r"(?<!\d)(\d{4})[-_.]?(\d{2})[-_.]?(\d{2})"
    r"(?:[Tt_\- ]{0,2}(\d{2})[-_:.]?(\d{2})(?:[-_:.]?(\d{2}))?)?(?!\d)"
)


@dataclass(frozen=True)
class NameTime:
    """What a file name says of time: nothing, a day, or a moment."""

    day: datetime | None = None
    moment: datetime | None = None


def name_time(file_name: str) -> NameTime:
    """Time in a file name; a four-digit number after a day counts only with its seconds.

    ``kso_20190126_0042`` numbers the frames of a day, it does not say 00:42; therefore hours
    and minutes alone are taken only where an instrument's own pattern says so.
    """
    for found in _NAME_TIME.finditer(file_name):
        year, month, day, hour, minute, second = found.groups()
        try:
            date = datetime(int(year), int(month), int(day), tzinfo=UTC)
            if not _FIRST_YEAR <= date.year <= _LAST_YEAR:
                continue  # a size or a channel, such as 1024_0131
            if second is None:
                return NameTime(day=date)
            return NameTime(date, date.replace(hour=int(hour), minute=int(minute), second=int(second)))
        except ValueError:
            continue
    return NameTime()


def dated(header: Mapping[str, Any], file_name: str, *keys: str) -> tuple[datetime | None, DateSource]:
    """Start of the exposure by header, else by file name.

    A header that tells the day alone leaves the moment to the name, where that is of the same day: midnight
    would be the time of all frames of the day. EXIF's time is in the zone that it names; without one the name
    is asked first, and UTC is taken where that tells no moment.
    """
    time = header_date(header, *keys)
    if time is None:
        time, is_zoned = _exif_time(header)
        if time is not None and not is_zoned and (moment := name_time(file_name).moment) is not None:
            return moment, DateSource.FILE_NAME
    if time is not None and not _is_day_alone(header, keys):
        return time, DateSource.HEADER
    moment = name_time(file_name).moment
    if moment is not None and (time is None or moment.date() == time.date()):
        return moment, DateSource.FILE_NAME
    return (None, DateSource.NONE) if time is None else (time, DateSource.HEADER)


def _exif_time(header: Mapping[str, Any]) -> tuple[datetime | None, bool]:
    """Time of EXIF, and whether it names its zone."""
    told = header.get("EXIF-DATE")
    if not isinstance(told, str):
        return None, False
    offset = str(header.get("EXIF-OFFSET") or "").strip()
    is_zoned = re.fullmatch(r"Z|[+-]\d{2}:\d{2}", offset) is not None
    return parse_time(told.strip() + (offset if is_zoned else ""), "EXIF-DATE"), is_zoned


def _is_day_alone(header: Mapping[str, Any], keys: tuple[str, ...]) -> bool:
    found = _time_text(header, keys)
    return found is not None and _DAY_ALONE.fullmatch(found[0]) is not None


def number(header: Mapping[str, Any], *keys: str) -> float | None:
    """First finite number among keywords; None when there is none."""
    for key in keys:
        value = header.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST:
            return float(value)
    return None


def is_simulated(header: Mapping[str, Any]) -> bool:
    """Whether a frame says of itself that a simulator made it (keyword SIMULATD)."""
    return header.get("SIMULATD") in (True, "T", "True")
