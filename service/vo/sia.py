"""Queries of SIA 2.0: what its parameters mean for frames of the Sun and of the sky.

Several values of one parameter are alternatives, several parameters must all be met. What we do not know of
our images (field of view, resolutions, polarisation) meets no condition.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from observatory.storage import images
from observatory.storage.images import LONGEST_EXPOSURE, ImageFilter, Span
from observatory.storage.session import Database
from service.filters import MAX_ID
from service.vo import position
from service.vo.obscore import EARTH, POSSIBLE, SUN, Publisher, rows_of

DEFAULT_RECORDS, MOST_RECORDS = 1000, 10_000
_MOST_FRAMES = 10_000  # looked at for one answer
_MOST_VALUES = 100
_MOST_REGIONS, _MOST_CORNERS = 16, 32
_WAVELENGTH_SLACK_NM = 0.05  # wavelengths are nominal
_MJD_0 = datetime(1858, 11, 17, tzinfo=UTC)
_EVER = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))

PARAMETERS = (
    *("POS", "BAND", "TIME", "POL", "FOV", "SPATRES", "SPECRP", "EXPTIME", "TIMERES", "ID", "COLLECTION"),
    *("FACILITY", "INSTRUMENT", "DPTYPE", "CALIB", "TARGET", "FORMAT", "MAXREC", "RESPONSEFORMAT"),
)
_IGNORED = frozenset({"REQUEST", "VERSION", "RUNID", "LANG"})  # of other protocols; they ask for nothing
_UNKNOWN_OF_ALL = ("POL", "FOV", "SPATRES", "SPECRP", "TIMERES")
_OF_TEXT = {
    "COLLECTION": "obs_collection",
    "DPTYPE": "dataproduct_type",
    "TARGET": "target_name",
    "CALIB": "calib_level",
    "FORMAT": "access_format",
    "ID": "obs_publisher_did",
}
_SAME_FORMAT = {"image/fits": "application/fits"}
_RESPONSE_FORMATS = ("votable", "application/x-votable+xml", "text/xml")
_POS_WORDS = (
    "CIRCLE ra dec radius, RANGE ra1 ra2 dec1 dec2 or POLYGON ra1 dec1 ra2 dec2 ra3 dec3 …, in degrees; "
    f"at most {_MOST_REGIONS} of them, of at most {_MOST_CORNERS} corners"
)


class UsageError(Exception):
    """A query that cannot be answered."""

    def __init__(self, parameter: str, allowed: str) -> None:
        super().__init__(f"UsageFault: {parameter} must be {allowed}")


@dataclass(frozen=True)
class Query:
    """What is asked for.

    Attributes
    ----------
    wanted : ImageFilter
        What the database can tell.
    conditions : mapping of column to values
        What only the rows tell.
    time_spans : sequence of Span of float
        MJD; the exposure must touch one.
    """

    wanted: ImageFilter
    conditions: Mapping[str, frozenset[str]]
    time_spans: Sequence[Span]
    product_ids: Sequence[int] | None
    regions: Sequence[position.Region] | None
    records: int

    @property
    def can_be_met(self) -> bool:
        """Whether any row at all can be what is asked for."""
        return all(values & POSSIBLE.get(column, values) for column, values in self.conditions.items())


def read_query(asked: Iterable[tuple[str, str]], authority: str) -> Query:
    """Read a request's parameters, name and value.

    Raises
    ------
    UsageError
        For a parameter that we do not know or that makes no sense.
    """
    words = _words(asked)
    _check_single(words)
    for name in ("FOV", "SPATRES", "SPECRP", "TIMERES"):
        _spans(words.get(name, []), name)
    times = _spans(words.get("TIME", []), "TIME")
    bands = _spans(words.get("BAND", []), "BAND", least=0.0)
    wanted = ImageFilter(
        times=[_moments(span) for span in times] or None,
        wavelengths_nm=[_wavelengths(span) for span in bands] or None,
        exposures_s=_spans(words.get("EXPTIME", []), "EXPTIME") or None,
        instruments=words.get("INSTRUMENT"),
        observatories=words.get("FACILITY"),
        frame_ids=_numbers(words, authority, "frames"),
        of_sun=_is_of_sun(words),
    )
    return Query(
        wanted=wanted,
        conditions={
            column: frozenset(_folded(name, word) for word in words[name])
            for name, column in _OF_TEXT.items()
            if name in words
        }
        | {name: frozenset() for name in _UNKNOWN_OF_ALL if name in words},
        time_spans=times,
        product_ids=_numbers(words, authority, "products"),
        regions=_regions(words["POS"]) if "POS" in words else None,
        records=_records(words),
    )


def _words(asked: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for written, value in asked:
        name = written.upper()
        if name in _IGNORED:
            continue
        if name not in PARAMETERS:
            raise UsageError("the name of a parameter", f"one of {', '.join(PARAMETERS)}")
        if "\0" in value:
            raise UsageError(name, "text without zeros")
        found.setdefault(name, []).append(value)
        if len(found[name]) > _MOST_VALUES:
            raise UsageError(name, f"given at most {_MOST_VALUES} times")
    return found


def _check_single(words: Mapping[str, Sequence[str]]) -> None:
    for name in ("MAXREC", "RESPONSEFORMAT"):
        if len(words.get(name, ())) > 1:
            raise UsageError(name, "given once")
    form = next(iter(words.get("RESPONSEFORMAT", ())), "votable")
    if form.partition(";")[0].strip().lower() not in _RESPONSE_FORMATS:
        raise UsageError("RESPONSEFORMAT", f"one of {', '.join(_RESPONSE_FORMATS)}")


def _records(words: Mapping[str, Sequence[str]]) -> int:
    word = next(iter(words.get("MAXREC", ())), str(DEFAULT_RECORDS))
    if not (word.isascii() and word.isdigit() and len(word) < 20):
        raise UsageError("MAXREC", f"a whole number; more than {MOST_RECORDS} are never given")
    return min(int(word), MOST_RECORDS)


def _floats(word: str, name: str, allowed: str) -> list[float]:
    try:
        numbers = [float(part) for part in word.split()]
    except ValueError as error:
        raise UsageError(name, allowed) from error
    if not numbers or any(map(math.isnan, numbers)):
        raise UsageError(name, allowed)
    return numbers


def _spans(words: Sequence[str], name: str, least: float = -math.inf) -> list[Span]:
    allowed = "one number, or two with the lower first; -Inf and +Inf leave a side open"
    found = []
    for word in words:
        numbers = _floats(word, name, allowed)
        low, high = numbers[0], numbers[-1]
        is_number = len(numbers) == 1 and math.isfinite(low)
        is_pair = len(numbers) == 2 and low <= high and low < math.inf and high > -math.inf
        if not (is_number or is_pair) or high < least:
            raise UsageError(name, allowed)
        found.append(Span(low, high))
    return found


def _moments(span: Span) -> Span:
    """Times at which a frame may have begun that was exposed in a span of MJD."""
    begun = _moment(span.low)
    is_open = begun is None or begun - _EVER[0] < LONGEST_EXPOSURE
    return Span(None if is_open or begun is None else begun - LONGEST_EXPOSURE, _moment(span.high))


def _moment(mjd: float) -> datetime | None:
    """A time, None for one that is beyond the calendar; to the microsecond, later than sooner."""
    if not math.isfinite(mjd):
        return None
    try:
        return _MJD_0 + timedelta(days=mjd) + timedelta(microseconds=50)  # a double has no finer MJD
    except OverflowError:
        return _EVER[mjd > 0]


def _wavelengths(span: Span) -> Span:
    low, high = span.low * 1e9, span.high * 1e9
    return Span(
        low - _WAVELENGTH_SLACK_NM if math.isfinite(low) else None,
        high + _WAVELENGTH_SLACK_NM if math.isfinite(high) else None,
    )


def _numbers(words: Mapping[str, Sequence[str]], authority: str, resource: str) -> list[int] | None:
    """Numbers of the frames or products whose identifiers are asked for."""
    if "ID" not in words:
        return None
    start = f"ivo://{authority}/heliowatch?{resource}/".lower()
    numbers = [word.lower().removeprefix(start) for word in words["ID"] if word.lower().startswith(start)]
    plain = [word for word in numbers if word.isascii() and word.isdigit() and len(word) < 20]
    return [int(word) for word in plain if int(word) <= MAX_ID]


def _is_of_sun(words: Mapping[str, Sequence[str]]) -> bool | None:
    targets = set(words.get("TARGET", (SUN, EARTH))) & {SUN, EARTH}
    if "POS" in words or targets == {SUN}:
        return True
    return False if targets == {EARTH} else None


def _folded(name: str, word: str) -> str:
    word = word.lower() if name in ("ID", "FORMAT") else word
    return _SAME_FORMAT.get(word, word) if name == "FORMAT" else word


def _regions(words: Sequence[str]) -> list[position.Region]:
    if len(words) > _MOST_REGIONS:
        raise UsageError("POS", _POS_WORDS)
    return [_region(word) for word in words]


def _region(word: str) -> position.Region:
    shape, _, rest = word.strip().partition(" ")
    numbers = _floats(rest, "POS", _POS_WORDS)
    make = _SHAPES.get(shape.upper())
    region = None if make is None else make(numbers)
    if region is None:
        raise UsageError("POS", _POS_WORDS)
    return region


def _circle(numbers: Sequence[float]) -> position.Region | None:
    if len(numbers) != 3 or not _are_places(numbers[:2]) or not 0 <= numbers[2] <= 180:
        return None
    return position.circle(*numbers)


def _range(numbers: Sequence[float]) -> position.Region | None:
    if len(numbers) != 4:
        return None
    limits = (0.0, 360.0, -90.0, 90.0)
    ra_low, ra_high, low, high = (
        limit if math.isinf(number) else number for number, limit in zip(numbers, limits, strict=True)
    )
    if not _are_places((ra_low, low, ra_high, high)) or low > high or ra_low > ra_high:
        return None
    return position.box((ra_low, ra_high), (low, high))


def _polygon(numbers: Sequence[float]) -> position.Region | None:
    if not 6 <= len(numbers) <= 2 * _MOST_CORNERS or len(numbers) % 2 or not _are_places(numbers):
        return None
    return position.polygon(list(zip(numbers[::2], numbers[1::2], strict=True)))


_SHAPES: Mapping[str, Callable[[Sequence[float]], position.Region | None]] = {
    "CIRCLE": _circle,
    "RANGE": _range,
    "POLYGON": _polygon,
}


def _are_places(numbers: Sequence[float]) -> bool:
    return all(0 <= ra <= 360 for ra in numbers[::2]) and all(-90 <= dec <= 90 for dec in numbers[1::2])


class Answer:
    """Rows of an answer, and afterwards whether there would have been more."""

    def __init__(self, db: Database, query: Query, publisher: Publisher) -> None:
        self._db = db
        self._query = query
        self._publisher = publisher
        self._why_more: str | None = None

    def rows(self) -> Iterator[dict[str, Any]]:
        """Newest first."""
        left = self._query.records
        if left == 0:
            self._why_more = "MAXREC is 0: this is what the columns are"
            return
        looked_at = 0
        for page in self._pages():
            for frame in page:
                for row in self._matching(frame):
                    if left == 0:
                        self._why_more = "there are more; give TIME a smaller range, or MAXREC a larger value"
                        return
                    left -= 1
                    yield row
            looked_at += len(page)
            if looked_at >= _MOST_FRAMES:
                self._why_more = f"after {looked_at} frames no more were looked at; give TIME a smaller range"
                return

    def overflow(self) -> Iterator[str]:
        """Why there are no more rows although there might be; nothing when these are all."""
        if self._why_more is not None:
            yield self._why_more

    def _pages(self) -> Iterator[list[dict[str, Any]]]:
        query, wanted = self._query, self._query.wanted
        if not query.can_be_met:
            return iter(())
        if query.product_ids is not None:
            mine = [*(wanted.frame_ids or ()), *images.frames_of(self._db, query.product_ids)]
            wanted = replace(wanted, frame_ids=mine)
        if query.regions is None:
            return images.pages(self._db, wanted)
        return self._pages_at(query.regions, wanted)

    def _pages_at(
        self, regions: Sequence[position.Region], wanted: ImageFilter
    ) -> Iterator[list[dict[str, Any]]]:
        span = images.span_of(self._db)
        if span is None:
            return
        times = wanted.times or [Span()]
        reach = [(max(span[0], time.low or span[0]), min(span[1], time.high or span[1])) for time in times]
        found = [
            Span(begin, end)
            for low, high in reach
            if low <= high
            for begin, end in position.windows(regions, low, high)
        ]
        yield from images.pages(self._db, replace(wanted, times=found))

    def _matching(self, frame: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        for row in rows_of(frame, self._publisher):
            is_then = not self._query.time_spans or any(
                row["t_min"] <= span.high + _MJD_SLACK and row["t_max"] >= span.low - _MJD_SLACK
                for span in self._query.time_spans
            )
            if is_then and all(
                str(row[column]).lower() in values or str(row[column]) in values
                for column, values in self._query.conditions.items()
            ):
                yield row


_MJD_SLACK = 1e-9  # of a day: as much as a double holds
