"""What we know as series over time: one table of them, and how they are read without end.

A series belongs to one instrument and is ordered by the time of observation, strictly: where several
frames have one and the same time (the same exposure twice, in two formats, a clock that stands) the one
that was received last speaks for the instant. Frames without a time have no place in a series.

To add one is to add an entry to `SERIES`: where its rows are, which of them count, and its columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from operator import attrgetter
from statistics import median
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    and_,
    any_,
    literal,
    or_,
    select,
)
from sqlalchemy.sql.schema import Table

from observatory.analysis import Cause, EventType, SkyClass
from observatory.storage import catalogue
from observatory.storage.enhancements import EnhancementOutcome
from observatory.storage.schema import causes, enhancements, frames, results, segmentations
from observatory.storage.session import Database
from observatory.storage.sky_schema import PROBABILITIES, skies

CHUNK = 2000  # rows a question; no connection is held while they are sent
_NEWEST = 200  # records from which the cadence is told


class Kind(StrEnum):
    """Types of values, those of HAPI."""

    DOUBLE = "double"
    INTEGER = "integer"
    STRING = "string"


@dataclass(frozen=True)
class OfRow:
    """A column of the table that the series is read from."""

    name: str


@dataclass(frozen=True)
class OfResult:
    """A member of the newest result of one analysis of the frame."""

    analysis: str
    member: str


@dataclass(frozen=True)
class OfCauses:
    """Something said of the causes of degradation, given with their probabilities, most likely first."""

    tell: Callable[[Mapping[str, float]], Any]


@dataclass(frozen=True)
class Column:
    """One column of a series.

    Attributes
    ----------
    units : str or None
        None: without unit.
    length : int or None
        Most bytes of a string.
    may_be_missing : bool
        Whether there are records without it.
    """

    name: str
    kind: Kind
    description: str
    origin: OfRow | OfResult | OfCauses
    units: str | None = None
    length: int | None = None
    may_be_missing: bool = True


@dataclass(frozen=True)
class Series:
    """One kind of series, of which each instrument may have one.

    Attributes
    ----------
    name : str
        Follows the instrument's in the name of the data set.
    columns : tuple of Column
        New ones are added at the end: clients ask for them in this order.
    table : Table
        With `instrument` and `moment`, and one row a frame.
    where : tuple of conditions
        Which rows count.
    """

    name: str
    title: str
    description: str
    columns: tuple[Column, ...]
    table: Table
    where: tuple[ColumnElement[bool], ...]

    @property
    def frame_id(self) -> ColumnElement[int]:
        """Number of the frame, which tells rows of one instant apart."""
        return self.table.c.id if self.table is frames else self.table.c.frame_id


IS_DATED = frames.c.date_obs.is_not(None)
_IS_JUDGED = frames.c.quality_score.is_not(None)
_QUALITY = "quality"

_LATENCY = Column(
    "latency_s",
    Kind.DOUBLE,
    "from the file's end to the result's being visible",
    OfRow("latency_s"),
    units="s",
)
_DEGRADED = Column(
    "is_degraded", Kind.INTEGER, "1: not to be used without a second look; 0: good", OfRow("is_degraded")
)


def _probability(cause: Cause) -> Column:
    return Column(
        cause.value,
        Kind.DOUBLE,
        f"probability of {cause.value.replace('_', ' ')}, 0 to 1; fill where it was not named",
        OfCauses(lambda found: found.get(cause.value)),
    )


def _areas(event_type: EventType, plural: str) -> Series:
    def column(name: str, kind: Kind, description: str, **more: Any) -> Column:
        return Column(name, kind, description, OfRow(name), **more)

    return Series(
        f"areas-{event_type.value}",
        f"areas of {plural}",
        f"What {plural} cover of the Sun: all regions of a frame together. A frame in which none were found "
        "counts with 0; one that was not searched (degraded, or without light) is left out.",
        (
            column(
                "disk_fraction",
                Kind.DOUBLE,
                "share of the visible disk, as seen, at the medium threshold",
                may_be_missing=False,
            ),
            column("area_msh", Kind.DOUBLE, "corrected for foreshortening, 10^-6 solar hemispheres"),
            column("regions", Kind.INTEGER, "number of regions", may_be_missing=False),
            column("disk_fraction_conservative", Kind.DOUBLE, "the same share at the conservative threshold"),
            column("disk_fraction_liberal", Kind.DOUBLE, "the same share at the liberal threshold"),
        ),
        segmentations,
        (segmentations.c.event_type == event_type.value, segmentations.c.is_dated.is_(True)),
    )


def _number(name: str, description: str, units: str | None = None) -> Column:
    return Column(name, Kind.DOUBLE, description, OfRow(name), units=units)


SERIES: tuple[Series, ...] = (
    Series(
        "quality",
        "quality of frames",
        "How good each frame is.",
        (
            Column(
                "score",
                Kind.DOUBLE,
                "0 (useless) to 1 (best)",
                OfRow("quality_score"),
                may_be_missing=False,
            ),
            Column(
                "p_value",
                Kind.DOUBLE,
                "share of good calibration frames at least as bad as this one",
                OfResult(_QUALITY, "p_value"),
            ),
            _DEGRADED,
            _LATENCY,
        ),
        frames,
        (IS_DATED, _IS_JUDGED),
    ),
    Series(
        "causes",
        "causes of degradation",
        "Why frames are degraded. A probability is given for each cause that the analysis named.",
        (
            Column(
                "cause",
                Kind.STRING,
                "the most likely cause; none for a clear frame",
                OfCauses(lambda found: next(iter(found), "none")),
                length=max(len(cause) for cause in Cause),
                may_be_missing=False,
            ),
            Column(
                "probability",
                Kind.DOUBLE,
                "of the most likely cause, 0 to 1",
                OfCauses(lambda found: next(iter(found.values()), None)),
            ),
            *map(_probability, Cause),
        ),
        frames,
        (IS_DATED, _IS_JUDGED),
    ),
    Series(
        "latency",
        "latency of results",
        "How long results took.",
        (_LATENCY,),
        frames,
        (IS_DATED, frames.c.latency_s.is_not(None)),
    ),
    Series(
        "sky",
        "class of the sky",
        "What a camera of the whole sky shows. Frames whose sky cannot be judged are left out.",
        (
            Column(
                "sky_class",
                Kind.STRING,
                "arc, diffuse, discrete, cloud, moon or clear",
                OfRow("sky_class"),
                length=16,
                may_be_missing=False,
            ),
            _number("aurora_probability", "arc, diffuse and discrete together, 0 to 1"),
            _number("cloud_cover", "share of the sky's visible sectors that are cloudy, 0 to 1"),
            *(
                _number(column, f"of {name}, calibrated, 0 to 1")
                for column, name in zip(PROBABILITIES, SkyClass, strict=True)
            ),
        ),
        skies,
        (skies.c.is_dated.is_(True), skies.c.sky_class.is_not(None)),
    ),
    Series(
        "disturbance",
        "magnetic disturbance told from the sky",
        "What a station's magnetometer would feel, told from frames of its sky by a model of that station; not "
        "measured.",
        (
            _number("disturbance_x_nt", "geographic north", "nT"),
            _number("disturbance_y_nt", "east", "nT"),
            _number("disturbance_z_nt", "down", "nT"),
            Column(
                "disturbance_is_simulated",
                Kind.INTEGER,
                "1: the model learned from a simulated magnetometer; 0: from a real one",
                OfRow("disturbance_is_simulated"),
                may_be_missing=False,
            ),
        ),
        skies,
        (skies.c.is_dated.is_(True), skies.c.disturbance_x_nt.is_not(None)),
    ),
    Series(
        "enhancement",
        "enhancement of frames",
        "What deconvolution did to frames of HMI. Frames that were refused or skipped are left out.",
        (
            _number("contrast_before", "granulation contrast of the frame: rms over mean of the quiet Sun"),
            _number("contrast_after", "the same of the enhanced frame"),
            _number("unsigned_flux_before_mx", "sum of |B| times the area, over the frame", "Mx"),
            _number("unsigned_flux_after_mx", "the same of the enhanced frame", "Mx"),
            _number("residual", "rms of the frame minus the result degraded again; quiet Sun is 1, or kG"),
            _number("noise", "rms noise of the frame, in the same unit"),
            _number("trusted_fraction", "share of the pixels whose trust is 0.5 and more"),
        ),
        enhancements,
        (
            enhancements.c.outcome == EnhancementOutcome.ENHANCED.value,
            enhancements.c.is_dated.is_(True),
        ),
    ),
    _areas(EventType.CORONAL_HOLE, "coronal holes"),
    _areas(EventType.ACTIVE_REGION, "active regions"),
)


@dataclass(frozen=True)
class DataSet:
    """A series of one instrument.

    Attributes
    ----------
    first, last : datetime
        Times of the first and last records.
    sample_start : datetime
        Early enough for the newest records, up to 200.
    cadence_s : float or None
        Median time between those; None for a single record.
    """

    series: Series
    instrument: str
    first: datetime
    last: datetime
    sample_start: datetime
    cadence_s: float | None


def available(db: Database) -> list[DataSet]:
    """Every series that has records, by instrument and in the order of `SERIES`."""
    names = [name for name, _ in catalogue.instruments_seen(db)]
    found = (look_up(db, series, name) for name in names for series in SERIES)
    return [one for one in found if one is not None]


def look_up(db: Database, series: Series, instrument: str) -> DataSet | None:
    """One series as it stands now; None when it has no records."""
    moment = series.table.c.moment
    mine = select(moment).where(series.table.c.instrument == instrument, *series.where)
    with db.read() as connection:
        newest = connection.execute(mine.order_by(moment.desc()).limit(_NEWEST)).scalars().all()
        if not newest:
            return None
        first = connection.execute(mine.order_by(moment.asc()).limit(1)).scalar_one()
    times = sorted(set(newest))
    steps = [(later - sooner).total_seconds() for sooner, later in pairwise(times)]
    return DataSet(series, instrument, first, times[-1], times[0], median(steps) if steps else None)


def records(
    db: Database,
    series: Series,
    instrument: str,
    columns: Sequence[Column],
    start: datetime,
    stop: datetime | None,
    *,
    chunk: int = CHUNK,
) -> Iterator[list[tuple[Any, ...]]]:
    """Records of a range in chunks: time, then the columns that were asked for; None where one is missing.

    Each chunk is a question of its own that goes on where the one before ended, so no connection and no
    state of the database is held for a reader who takes hours, and one who goes away ends it all.

    Parameters
    ----------
    start, stop : datetime
        Half-open; None: without end.
    """
    after: tuple[datetime, int] | None = None
    held: Any = None  # its instant may have more rows in the chunk that follows
    while True:
        with db.read() as connection:
            query = _rows(series, instrument, columns, start, stop, after).limit(chunk)
            rows = connection.execute(query).all()
            chosen = _last_of_each_instant(rows if held is None else [held, *rows])
            is_end = len(rows) < chunk
            if chosen and not is_end:
                held = chosen.pop()
            made = _completed(connection, columns, chosen)
        if made:
            yield made
        if is_end:
            return
        after = rows[-1].moment, rows[-1].frame_id


def _rows(
    series: Series,
    instrument: str,
    columns: Sequence[Column],
    start: datetime,
    stop: datetime | None,
    after: tuple[datetime, int] | None,
) -> Select[Any]:
    moment, number = series.table.c.moment, series.frame_id
    asked = {column.origin.name for column in columns if isinstance(column.origin, OfRow)}
    query = select(
        moment.label("moment"),
        number.label("frame_id"),
        *(series.table.c[name].label(f"value_{name}") for name in sorted(asked)),
    ).where(series.table.c.instrument == instrument, moment >= start, *series.where)
    if stop is not None:
        query = query.where(moment < stop)
    if after is not None:
        key, last = after
        query = query.where(moment >= key, or_(moment > key, and_(moment == key, number > last)))
    return query.order_by(moment.asc(), number.asc())


def _last_of_each_instant(rows: Sequence[Any]) -> list[Any]:
    chosen: list[Any] = []
    for row in rows:
        if chosen and chosen[-1].moment == row.moment:
            chosen.pop()
        chosen.append(row)
    return chosen


def _completed(
    connection: Connection, columns: Sequence[Column], rows: Sequence[Any]
) -> list[tuple[Any, ...]]:
    """Add what lies beside the rows: results and causes."""
    ids = [row.frame_id for row in rows]
    members: dict[str, dict[int, Any]] = {}
    for analysis in {column.origin.analysis for column in columns if isinstance(column.origin, OfResult)}:
        members[analysis] = _members(connection, analysis, columns, ids)
    has_causes = any(isinstance(column.origin, OfCauses) for column in columns)
    named = _causes(connection, ids) if has_causes else {}
    getters = [_getter(column.origin, members, named) for column in columns]
    return [(row.moment, *(get(row) for get in getters)) for row in rows]


def _getter(
    origin: OfRow | OfResult | OfCauses,
    members: Mapping[str, Mapping[int, Any]],
    named: Mapping[int, Mapping[str, float]],
) -> Callable[[Any], Any]:
    if isinstance(origin, OfRow):
        return attrgetter(f"value_{origin.name}")
    if isinstance(origin, OfResult):
        of_analysis, member = members[origin.analysis], f"member_{origin.member}"
        return lambda row: getattr(of_analysis.get(row.frame_id), member, None)
    nothing: dict[str, float] = {}
    return lambda row: origin.tell(named.get(row.frame_id, nothing))


def _members(
    connection: Connection, analysis: str, columns: Sequence[Column], ids: list[int]
) -> dict[int, Any]:
    """What is asked of the newest result of each frame."""
    asked = {
        column.origin.member: _member(column, column.origin.member)
        for column in columns
        if isinstance(column.origin, OfResult) and column.origin.analysis == analysis
    }
    query = (
        select(results.c.frame_id, *asked.values())
        .where(_among(connection, results.c.frame_id, ids), results.c.analysis == analysis)
        .order_by(results.c.id)
    )
    return {row.frame_id: row for row in connection.execute(query)}


def _member(column: Column, name: str) -> ColumnElement[Any]:
    """A member as the database reads it: cheaper than to read JSON here."""
    member = results.c.payload[name]
    if column.kind is Kind.DOUBLE:
        member = member.as_float()
    elif column.kind is Kind.STRING:
        member = member.as_string()
    return member.label(f"member_{name}")


def _among(connection: Connection, column: ColumnElement[int], ids: list[int]) -> ColumnElement[bool]:
    """One of some numbers; Postgres takes them as one array, where two thousand parameters cost more."""
    if connection.dialect.name == "sqlite":
        return column.in_(ids)
    return column == any_(literal(ids, ARRAY(BigInteger)))


def _causes(connection: Connection, ids: list[int]) -> dict[int, dict[str, float]]:
    query = (
        select(causes).where(causes.c.frame_id.in_(ids)).order_by(causes.c.probability.desc(), causes.c.cause)
    )
    found: dict[int, dict[str, float]] = {}
    for row in connection.execute(query):
        found.setdefault(row.frame_id, {})[row.cause] = row.probability
    return found
