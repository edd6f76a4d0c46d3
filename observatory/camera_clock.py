"""When a picture was taken, as a camera's clock tells it; and when that clock cannot be believed.

Headers of observatories are in UTC. Names that cameras give to their files, and EXIF, are in the camera's
own time zone, which only settings know. Of two times that contradict each other neither is taken: a wrong
time moves the Sun, the Moon and the aurora of a whole night, a missing one does not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from observatory.frame import DateSource

_FIRST_DIGITAL_YEAR = 1990  # all-sky cameras with a clock are younger; 1970 and 1980 are clocks never set
_AGREEMENT_S = 120.0  # names say the minute, or when the file was written
_FILM_S = 3720.0  # a film's later images are later than its name, which says when it began
_QUARTER_S, _FARTHEST_S = 900.0, 14 * 3600 + 60
_WORDS = {  # as narrow as they are, so that a serial number is passed over and the time behind it found
    "%Y": r"(?P<year>(?:19|20)\d{2})",
    "%y": r"(?P<short_year>\d{2})",
    "%m": r"(?P<month>0[1-9]|1[0-2])",
    "%d": r"(?P<day>0[1-9]|[12]\d|3[01])",
    "%j": r"(?P<day_of_year>[0-2]\d{2}|3[0-6]\d)",
    "%H": r"(?P<hour>[01]\d|2[0-3])",
    "%M": r"(?P<minute>[0-5]\d)",
    "%S": r"(?P<second>[0-5]\d)",
    "%f": r"(?P<fraction>\d{1,6})",
    "%s": r"(?P<posix>\d{9,10})",
    "%%": "%",
    "*": ".*?",
}
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d{2}))?", re.IGNORECASE)


@dataclass(frozen=True)
class Clock:
    """What settings say of a camera's clock.

    Attributes
    ----------
    name_time : str or None
        How file names tell the time: strptime's %Y %y %m %d %j %H %M %S %f %s, ``*`` for anything, and the
        rest as it stands; such as ``sky_%Y%m%d_%H%M%S*``.
    timezone : str
        Of names and of EXIF: a name of the IANA list such as Europe/Oslo, or an offset such as UTC+1.
    """

    name_time: str | None = None
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        """Refuse what cannot be understood.

        Raises
        ------
        ValueError
        """
        zone(self.timezone)
        if self.name_time is not None:
            pattern = name_pattern(self.name_time)
            parts = set(pattern.groupindex)
            is_day = parts >= {"month", "day"} or "day_of_year" in parts
            if "posix" not in parts and not (
                is_day and parts & {"year", "short_year"} and {"hour", "minute"} <= parts
            ):
                raise ValueError(
                    f"{self.name_time!r} tells no moment: year, month and day (or %j), hour and minute are "
                    "needed, or %s"
                )


@dataclass(frozen=True)
class Dated:
    """A moment, what told it, and why there is none or why it is in doubt."""

    moment: datetime | None
    source: DateSource
    note: str | None = None


UNDATED = Dated(None, DateSource.NONE)


def zone(name: str) -> tzinfo:
    """Time zone by its name or offset.

    Raises
    ------
    ValueError
        When there is none of that name.
    """
    if name.upper() in ("UTC", "GMT", "Z"):
        return UTC
    offset = _OFFSET.fullmatch(name.strip())
    if offset:
        minutes = int(offset[2]) * 60 + int(offset[3] or 0)
        if minutes <= 14 * 60:
            return timezone(timedelta(minutes=minutes if offset[1] == "+" else -minutes))
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is no time zone: write one such as Europe/Oslo, UTC or UTC+1") from error


def name_pattern(text: str) -> re.Pattern[str]:
    """Regular expression for a pattern of names.

    Raises
    ------
    ValueError
        When it holds a letter after % that is none of ours, or one twice.
    """
    parts = re.split(r"(%.|\*)", text)
    unknown = [part for part in parts if part.startswith("%") and part not in _WORDS]
    if unknown:
        known = " ".join(word for word in _WORDS if word.startswith("%") and word != "%%")
        raise ValueError(f"{text!r}: {unknown[0]} is not understood; {known} are")
    try:
        return re.compile("".join(_WORDS[part] if part in _WORDS else re.escape(part) for part in parts))
    except re.error as error:
        raise ValueError(f"{text!r}: a part of the time stands in it twice") from error


def by_pattern(clock: Clock, file_name: str) -> datetime | None:
    """Moment in a file's name by the camera's own pattern, without its time zone; with it for %s."""
    found = name_pattern(clock.name_time).fullmatch(file_name) if clock.name_time else None
    if found is None:
        return None
    part = {key: int(value) for key, value in found.groupdict().items() if key != "fraction"}
    fraction = int((found.groupdict().get("fraction") or "0").ljust(6, "0"))
    try:
        if "posix" in part:
            return datetime.fromtimestamp(part["posix"], UTC) + timedelta(microseconds=fraction)
        year = part.get("year", 2000 + part.get("short_year", 0))
        day = datetime(year, part.get("month", 1), part.get("day", 1), tzinfo=UTC)
        if "day_of_year" in part:
            day = datetime(year, 1, 1, tzinfo=UTC) + timedelta(days=part["day_of_year"] - 1)
            if day.year != year:
                return None  # day 0, or day 366 of a year that has none
        moment = day.replace(
            hour=part["hour"], minute=part["minute"], second=part.get("second", 0), microsecond=fraction
        )
        return moment.replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None


def as_utc(moment: datetime, clock: Clock, near: datetime | None = None) -> Dated:
    """A camera's time, turned to UTC.

    Parameters
    ----------
    near : datetime or None
        When the file was written: tells the first from the second of the two hours that a clock shows
        twice in autumn.
    """
    if moment.tzinfo is not None:
        return Dated(moment.astimezone(UTC), DateSource.FILE_NAME)
    here = zone(clock.timezone)
    first, second = (moment.replace(tzinfo=here, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first == second:
        return Dated(first, DateSource.FILE_NAME)
    if first.astimezone(here).replace(tzinfo=None, fold=0) != moment:
        note = f"{moment:%Y-%m-%d %H:%M} does not exist in {clock.timezone}: the camera's clock is in another"
        return Dated(None, DateSource.NONE, note)
    if near is not None:
        closest = min((first, second), key=lambda one: abs((near - one).total_seconds()))
        if abs((near - closest).total_seconds()) < 1800.0:
            return Dated(closest, DateSource.FILE_NAME)
    note = f"{moment:%Y-%m-%d %H:%M} comes twice in {clock.timezone}: set the camera's clock to UTC"
    return Dated(None, DateSource.NONE, note)


def judged(header: datetime | None, name: Dated, *, is_film: bool = False) -> Dated:
    """The time to be believed, of one in the header (UTC) and one in the file's name.

    Parameters
    ----------
    is_film : bool
        Whether the file holds several images, whose later ones are later than its name.
    """
    told = Dated(header, DateSource.HEADER) if header is not None else name
    if told.moment is None:
        return told
    if told.moment.year < _FIRST_DIGITAL_YEAR:
        note = f"the clock says {told.moment:%Y-%m-%dT%H:%M:%SZ}: it was never set"
        return Dated(None, DateSource.NONE, note)
    if header is None or name.moment is None or name.moment.year < _FIRST_DIGITAL_YEAR:
        return told
    late_s = (header - name.moment).total_seconds()
    if -_AGREEMENT_S <= late_s <= (_FILM_S if is_film else _AGREEMENT_S):
        return told
    return Dated(None, DateSource.NONE, _contradiction(header, name.moment, late_s))


def _contradiction(header: datetime, name: datetime, late_s: float) -> str:
    both = f"the header says {header:%Y-%m-%dT%H:%M:%SZ}, the file's name {name:%Y-%m-%dT%H:%M:%SZ}"
    hours = round(late_s / _QUARTER_S) * _QUARTER_S / 3600.0
    if abs(late_s) <= _FARTHEST_S and abs(late_s - hours * 3600.0) <= _AGREEMENT_S:
        return (
            f"{both}, {abs(hours):g} h apart: one of the two is local time; name its timezone in the settings"
        )
    return f"{both}: one of the two clocks is wrong"
