"""Query parameters: their types, and the words for what each may be."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import Request
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)

from observatory.analysis import Cause, EventType
from observatory.coordinates import MM2_PER_MSH
from observatory.storage.catalogue import FrameFilter
from observatory.storage.enhancements import EnhancementOutcome
from observatory.storage.frames import Status
from observatory.storage.region_catalogue import RegionFilter
from observatory.storage.sky_series import SkyChoice
from service.formats import iso_z
from service.problems import ParameterError

MAX_ID = 2**63 - 1
_PLUS_TURNED_SPACE = re.compile(r"(T.*) (\d\d:?\d\d)$")  # an unescaped + of a URL arrives as a space
_WAVELENGTH = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(A|AA|Å|Angstrom|nm|um)", re.IGNORECASE)
_NM_PER_UNIT = {"a": 0.1, "aa": 0.1, "å": 0.1, "angstrom": 0.1, "nm": 1.0, "um": 1000.0}
_AREA = re.compile(r"([0-9]{1,12}(?:\.[0-9]{0,12})?)\s*(%|msh|Mm2)", re.IGNORECASE)
_BIN = re.compile(r"([0-9]{1,6})(s|m|h|d)")
_SHORTEST_NM, _LONGEST_NM = 1e-6, 1e6
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
MAX_BIN_S = 366 * 86400

_TIME_WORDS = (
    "START/END in ISO 8601, UTC when no offset is given, END not included, either side may be `..`, "
    "such as 2026-11-20T08:00Z/2026-11-20T09:00Z or 2026-11-20/.."
)
_WAVELENGTH_WORDS = "a number with its unit (A, nm or um), such as 193A or 656.28nm"
_EVENT_TYPE_WORDS = "one of CH (coronal hole), AR (active region)"
_AREA_WORDS = (
    "a number with its unit: % of the visible disk, or msh (10^-6 hemispheres) or Mm2 corrected for "
    "foreshortening, such as 1%, 500msh or 20000Mm2"
)
_SKY_CLASSES = Literal["arc", "diffuse", "discrete", "cloud", "moon", "clear"]
FORMAT_WORDS = "json, csv, votable or parquet; the Accept header decides when left out"
TableFormat = Literal["json", "csv", "votable", "parquet"]
AS_OF_WORDS = (
    "an ISO 8601 time, UTC when no offset is given, such as 2026-11-20T08:00Z: what was known then; "
    "results made later are passed over"
)
_OF_NEWEST_RESULTS = ("quality_min", "quality_max", "cause", "event_type", "sky_class")
_BIN_WORDS = "a whole number with s, m, h or d, such as 30s, 5m or 1h; at most 366d"


@dataclass(frozen=True)
class TimeRange:
    """Half-open interval of time; None: open on that side."""

    start: datetime | None = None
    end: datetime | None = None


def parse_moment(word: str) -> datetime:
    """Read an ISO 8601 date or time as aware UTC.

    Raises
    ------
    ValueError
        When it is none.
    """
    word = _PLUS_TURNED_SPACE.sub(r"\1+\2", word.strip())
    try:
        moment = datetime.fromisoformat(word)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{word[:40]!r} is no ISO 8601 time") from error


def parse_day(word: str) -> date:
    """Read a day in ISO 8601."""
    try:
        return date.fromisoformat(word.strip())
    except ValueError as error:
        raise ValueError(f"{word[:20]!r} is no ISO 8601 day") from error


def parse_time_range(word: str) -> TimeRange:
    """Read ``START/END``."""
    sides = word.split("/")
    if len(sides) != 2:
        raise ValueError("needs START/END with one slash")
    start, end = (None if side.strip() in ("..", "") else parse_moment(side) for side in sides)
    if start is not None and end is not None and start >= end:
        raise ValueError("START is not before END")
    return TimeRange(start, end)


def parse_wavelength(word: str) -> float:
    """Read a wavelength with its unit as nanometres."""
    found = _WAVELENGTH.fullmatch(word.strip())
    if found is None:
        raise ValueError(f"{word[:20]!r} is no wavelength with a unit")
    nm = float(found[1]) * _NM_PER_UNIT[found[2].lower()]
    if not _SHORTEST_NM <= nm <= _LONGEST_NM:
        raise ValueError(f"{word[:20]!r} is no wavelength of light")
    return nm


@dataclass(frozen=True)
class LeastArea:
    """A least area, in one of two ways to measure it."""

    area_msh: float | None = None
    disk_fraction: float | None = None


def parse_area(word: str) -> LeastArea:
    """Read an area with its unit."""
    found = _AREA.fullmatch(word.strip())
    if found is None:
        raise ValueError(f"{word[:20]!r} is no area with a unit")
    value, unit = float(found[1]), found[2].lower()
    if unit == "%":
        return LeastArea(disk_fraction=value / 100)
    return LeastArea(area_msh=value if unit == "msh" else value / MM2_PER_MSH)


def parse_bin(word: str) -> int:
    """Read the width of a bin as seconds."""
    found = _BIN.fullmatch(word.strip())
    width_s = int(found[1]) * _SECONDS[found[2]] if found else 0
    if not 0 < width_s <= MAX_BIN_S:
        raise ValueError(f"{word[:20]!r} is no width of a bin")
    return width_s


def _read(parse: Callable[[str], Any]) -> BeforeValidator:
    """Let a parameter be text alone: JSON could bring numbers, truths and objects, too."""

    def read(word: Any) -> Any:
        if not isinstance(word, str):
            raise ValueError("needs to be text")
        return parse(word)

    return BeforeValidator(read)


_text = WithJsonSchema({"type": "string"})
InstrumentName = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f]+$")]
LookName = InstrumentName
TimeRangeText = Annotated[TimeRange, _read(parse_time_range), _text]
WavelengthText = Annotated[float, _read(parse_wavelength), _text]
AreaText = Annotated[LeastArea, _read(parse_area), _text]
BinText = Annotated[int, _read(parse_bin), _text]
DayText = Annotated[date, _read(parse_day), WithJsonSchema({"type": "string", "format": "date"})]
MomentText = Annotated[datetime, _read(parse_moment), _text]


class FrameFilters(BaseModel):
    """Which frames are asked for."""

    model_config = ConfigDict(extra="forbid")

    time: TimeRangeText | None = Field(None, description=_TIME_WORDS, examples=["2026-11-20/.."])
    instrument: InstrumentName | None = Field(None, description="name of an instrument, such as kso-halpha")
    wavelength: WavelengthText | None = Field(None, description=_WAVELENGTH_WORDS, examples=["656.28nm"])
    quality_min: float | None = Field(
        None, ge=0, le=1, allow_inf_nan=False, description="lowest score, 0 to 1 (1 is best)"
    )
    quality_max: float | None = Field(
        None, ge=0, le=1, allow_inf_nan=False, description="highest score, 0 to 1 (1 is best)"
    )
    status: Status | None = Field(None, description=f"one of {', '.join(Status)}")
    cause: Cause | None = Field(None, description=f"one of {', '.join(Cause)}")
    event_type: EventType | None = Field(
        None, description=f"{_EVENT_TYPE_WORDS}: frames in which regions of this type were found"
    )
    sky_class: _SKY_CLASSES | None = Field(
        None, description="one of arc, diffuse, discrete, cloud, moon, clear (all-sky frames)"
    )
    mark: Literal["good", "bad"] | None = Field(None, description="good or bad: a human's word")
    sha256: Annotated[str, StringConstraints(pattern="^[0-9a-fA-F]{64}$")] | None = Field(
        None, description="of the file's bytes, 64 hexadecimal digits"
    )

    @property
    def as_filter(self) -> FrameFilter:
        """The same, as storage takes it.

        Raises
        ------
        ParameterError
            When the lowest score is above the highest.
        """
        if (
            self.quality_min is not None
            and self.quality_max is not None
            and self.quality_min > self.quality_max
        ):
            raise ParameterError("quality_min", "is above quality_max", "at most quality_max")
        time = self.time or TimeRange()
        return FrameFilter(
            instrument=self.instrument,
            time_from=time.start,
            time_to=time.end,
            status=self.status,
            quality_min=self.quality_min,
            quality_max=self.quality_max,
            cause=self.cause,
            wavelength_nm=self.wavelength,
            event_type=self.event_type,
            sky_class=self.sky_class,
            sha256=None if self.sha256 is None else self.sha256.lower(),
            mark=self.mark,
        )


def words_of(wanted: FrameFilter) -> dict[str, Any]:
    """Filters as a request writes them: what `FrameFilters` reads as the same."""
    words = {name: value for name, value in vars(wanted).items() if value is not None}
    sides = [words.pop(name, None) for name in ("time_from", "time_to")]
    if any(sides):
        words["time"] = "/".join(".." if side is None else iso_z(side) for side in sides)
    if "wavelength_nm" in words:
        words["wavelength"] = f"{words.pop('wavelength_nm'):.9f}".rstrip("0").rstrip(".") + "nm"
    return words


class FrameQuery(FrameFilters):
    """Filters and paging of frames."""

    order: Literal["asc", "desc"] = Field("desc", description="asc (oldest first) or desc (newest first)")
    limit: int | None = Field(
        None, ge=1, le=1000, description="1 to 1000 frames a page; 50 for JSON, all for a table when left out"
    )
    cursor: str | None = Field(
        None, max_length=200, description="the cursor of `next` from the page before, unchanged"
    )
    format: TableFormat | None = Field(None, description=FORMAT_WORDS)
    as_of: MomentText | None = Field(
        None,
        description=f"{AS_OF_WORDS}; for JSON, without {', '.join(_OF_NEWEST_RESULTS)}",
        examples=["2026-11-20T08:00Z"],
    )

    @property
    def known_by(self) -> datetime | None:
        """As of when quality is told.

        Raises
        ------
        ParameterError
            When frames are chosen by what is said of them now.
        """
        by_now = [name for name in _OF_NEWEST_RESULTS if getattr(self, name) is not None]
        if self.as_of is not None and by_now:
            raise ParameterError(
                "as_of", f"{by_now[0]} goes by the newest results", f"without {', '.join(_OF_NEWEST_RESULTS)}"
            )
        return self.as_of

    @property
    def after(self) -> tuple[datetime, int] | None:
        """Sort key that the page starts after."""
        return None if self.cursor is None else read_cursor(self.cursor, self.order)


class AsOfQuery(BaseModel):
    """As of when a frame or its results are asked for."""

    model_config = ConfigDict(extra="forbid")

    as_of: MomentText | None = Field(None, description=AS_OF_WORDS, examples=["2026-11-20T08:00Z"])


class QualityQuery(BaseModel):
    """What part of the quality series is wanted, and how fine."""

    model_config = ConfigDict(extra="forbid")

    time: TimeRangeText | None = Field(None, description=_TIME_WORDS, examples=["2026-11-20/.."])
    instrument: InstrumentName | None = Field(None, description="name of an instrument, such as kso-halpha")
    bin: BinText | None = Field(None, description=_BIN_WORDS, examples=["5m"])
    limit: int | None = Field(
        None,
        ge=1,
        le=10000,
        description="1 to 10000 points, the newest of the range; when left out, 2000, and all for a table without bin",
    )
    format: TableFormat | None = Field(None, description=FORMAT_WORDS)
    as_of: MomentText | None = Field(
        None, description=f"{AS_OF_WORDS}; without bin", examples=["2026-11-20T08:00Z"]
    )


class RegionQuery(BaseModel):
    """Filters and paging of regions."""

    model_config = ConfigDict(extra="forbid")

    time: TimeRangeText | None = Field(None, description=_TIME_WORDS, examples=["2026-11-20/.."])
    instrument: InstrumentName | None = Field(None, description="name of an instrument, such as aia-193")
    wavelength: WavelengthText | None = Field(None, description=_WAVELENGTH_WORDS, examples=["193A"])
    quality_min: float | None = Field(
        None, ge=0, le=1, allow_inf_nan=False, description="lowest score of the frame, 0 to 1 (1 is best)"
    )
    event_type: EventType | None = Field(None, description=_EVENT_TYPE_WORDS)
    area_min: AreaText | None = Field(None, description=_AREA_WORDS, examples=["1%"])
    track: int | None = Field(None, ge=1, le=MAX_ID, description="number of a track")
    frame: int | None = Field(None, ge=1, le=MAX_ID, description="number of a frame")
    coordinates: Literal["hpc", "carrington", "pixel"] | None = Field(
        None,
        description="of geojson (hpc, carrington or pixel) and of ds9 (hpc or pixel); hpc when left out, and "
        "pixel for the ds9 regions of one frame",
    )
    order: Literal["asc", "desc"] = Field("desc", description="asc (oldest first) or desc (newest first)")
    limit: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="1 to 1000 regions a page; when left out, 50 for JSON, all for a table, and all for geojson "
        "and ds9 unless they are more than 1000",
    )
    cursor: str | None = Field(
        None, max_length=200, description="the cursor of `next` from the page before, unchanged"
    )
    format: Literal["json", "csv", "votable", "parquet", "ds9", "geojson"] | None = Field(
        None,
        description="json, csv, votable, parquet, ds9 or geojson; the Accept header decides when left out",
    )

    @property
    def as_filter(self) -> RegionFilter:
        """The same, as storage takes it."""
        time = self.time or TimeRange()
        area = self.area_min or LeastArea()
        return RegionFilter(
            event_type=self.event_type,
            instrument=self.instrument,
            wavelength_nm=self.wavelength,
            quality_min=self.quality_min,
            time_from=time.start,
            time_to=time.end,
            track_id=self.track,
            frame_id=self.frame,
            area_msh_min=area.area_msh,
            disk_fraction_min=area.disk_fraction,
        )

    @property
    def after(self) -> tuple[datetime, int] | None:
        """Sort key that the page starts after."""
        return None if self.cursor is None else read_cursor(self.cursor, self.order)


class AreaQuery(BaseModel):
    """What part of the series of areas is wanted, and how fine."""

    model_config = ConfigDict(extra="forbid")

    time: TimeRangeText | None = Field(None, description=_TIME_WORDS, examples=["2026-11-20/.."])
    instrument: InstrumentName | None = Field(None, description="name of an instrument, such as aia-193")
    event_type: EventType | None = Field(None, description=_EVENT_TYPE_WORDS)
    bin: BinText | None = Field(None, description=_BIN_WORDS, examples=["5m"])
    limit: int = Field(
        2000, ge=1, le=10000, description="1 to 10000 points of each type of event, the newest of the range"
    )
    format: TableFormat | None = Field(None, description=FORMAT_WORDS)


class CompositeQuery(BaseModel):
    """Filters and paging of composites."""

    model_config = ConfigDict(extra="forbid")

    time: TimeRangeText | None = Field(None, description=_TIME_WORDS, examples=["2026-11-20/.."])
    look: LookName | None = Field(None, description="name of a look, such as aia")
    order: Literal["asc", "desc"] = Field("desc", description="asc (oldest first) or desc (newest first)")
    limit: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="1 to 1000 composites a page; 50 for JSON, all for a table when left out",
    )
    cursor: str | None = Field(
        None, max_length=200, description="the cursor of `next` from the page before, unchanged"
    )
    format: TableFormat | None = Field(None, description=FORMAT_WORDS)

    @property
    def after(self) -> tuple[datetime, int] | None:
        """Sort key that the page starts after."""
        return None if self.cursor is None else read_cursor(self.cursor, self.order)


class _SeriesQuery(BaseModel):
    """What part of a series of numbers is wanted, and how fine."""

    model_config = ConfigDict(extra="forbid")

    time: TimeRangeText | None = Field(None, description=_TIME_WORDS, examples=["2026-11-20/.."])
    instrument: InstrumentName | None = Field(None, description="name of an instrument")
    bin: BinText | None = Field(None, description=_BIN_WORDS, examples=["1h"])
    order: Literal["asc", "desc"] = Field("desc", description="asc (oldest first) or desc (newest first)")
    limit: int | None = Field(
        None,
        ge=1,
        le=10000,
        description="1 to 10000 points a page; 2000 for JSON, all for a table when left out. With bin the "
        "newest 1 to 10000 bins, 2000 when left out",
    )
    cursor: str | None = Field(
        None, max_length=200, description="the cursor of `next` from the page before, unchanged; without bin"
    )
    format: TableFormat | None = Field(None, description=FORMAT_WORDS)

    @property
    def after(self) -> tuple[datetime, int] | None:
        """Sort key that the page starts after."""
        return None if self.cursor is None else read_cursor(self.cursor, self.order)


class EnhancementQuery(_SeriesQuery):
    """What part of the series of enhancements is wanted, and how fine."""

    instrument: InstrumentName | None = Field(
        None, description="name of an instrument, such as hmi-continuum"
    )
    outcome: EnhancementOutcome = Field(
        EnhancementOutcome.ENHANCED,
        description="enhanced, refused (with the reason) or skipped (with the reason)",
    )


class SkyQuery(_SeriesQuery):
    """What part of the series of skies is wanted, and how fine."""

    instrument: InstrumentName | None = Field(None, description="name of an instrument, such as themis-asi")
    sky_class: SkyChoice | None = Field(
        None,
        description="one of arc, diffuse, discrete, cloud, moon, clear; or aurora (arc, diffuse and discrete), or "
        "none (what could not be judged, with the reason). All that could be judged when left out",
    )


async def once_each(request: Request) -> None:
    """Refuse a parameter that is given more than once: one of its values would count, in silence.

    Raises
    ------
    ParameterError
    """
    seen = set()
    for name, _ in request.query_params.multi_items():
        if name in seen:
            raise ParameterError(name, "is given more than once", "one value; ask once for each")
        seen.add(name)


def write_cursor(moment: datetime, frame_id: int, order: str) -> str:
    """Write the sort key of a page's last frame."""
    microseconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(f"{order[0]}{microseconds}:{frame_id}".encode()).decode().rstrip("=")


def read_cursor(cursor: str, order: str) -> tuple[datetime, int]:
    """Undo `write_cursor`.

    Raises
    ------
    ParameterError
        When it is not one of ours, or of the other order.
    """
    allowed = "the cursor of `next` from the page before, unchanged and with the same order"
    try:
        word = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        microseconds, _, frame_id = word[1:].partition(":")
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(microseconds))
        key = moment, int(frame_id)
    except (ValueError, binascii.Error, OverflowError) as error:
        raise ParameterError("cursor", "is not one that this service gave", allowed) from error
    if word[0] != order[0] or not 0 <= key[1] <= MAX_ID:
        raise ParameterError("cursor", "belongs to another order", allowed)
    return key
