"""Which frames a list is made of: their keys in the lists' order, whatever is asked for.

Every filter has an index that holds the lists' order (`moment`, id), so that a page costs the same in a
long archive as in a short one. Which of them leads is said here and not left to the planner, which takes
filters for independent of each other and of time, and is wrong by a factor of a thousand when a camera
was under a cap for one night, ten years ago. Other filters are asked of each frame that the leading one
offers. A filter that few frames pass is read out whole first: then it does not matter how it is combined.

SQLite, which keeps small archives, is asked in one plain way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    Select,
    and_,
    any_,
    bindparam,
    column,
    lateral,
    literal,
    literal_column,
    select,
    text,
    true,
    tuple_,
    values,
)

from observatory.storage.frames import Status
from observatory.storage.schema import causes, frames, segmentations
from observatory.storage.session import Database

Key = tuple[datetime, int]

_STEPS = 50  # of scores, as the index has them
_STEP: ColumnElement[Any] = literal_column(f"floor(frames.quality_score * {_STEPS})")
_FEW = 500  # so many frames are sorted faster than a list is walked through for them
_MAX_PAIRS = 64
_WAVELENGTH_TOLERANCE_NM = 0.05


@dataclass(frozen=True)
class FrameFilter:
    """Which frames are asked for; None means any.

    Attributes
    ----------
    event_type : str or None
        Frames in which regions of this type were found.
    """

    instrument: str | None = None
    time_from: datetime | None = None
    time_to: datetime | None = None
    status: Status | None = None
    quality_min: float | None = None
    quality_max: float | None = None
    cause: str | None = None
    wavelength_nm: float | None = None
    event_type: str | None = None
    sky_class: str | None = None
    sha256: str | None = None
    mark: str | None = None


@dataclass(frozen=True)
class Page:
    """Which part of a list: so many, after a key, in one order or the other."""

    limit: int
    after: Key | None = None
    is_ascending: bool = False

    def of(self, query: Select[Any], moment: ColumnElement[Any], number: ColumnElement[Any]) -> Select[Any]:
        """The page of a query whose rows have these keys."""
        if self.after is not None:
            key = tuple_(moment, number)
            moments = zip(self.after, (moment, number), strict=True)
            last = tuple_(*(bindparam(None, value, part.type) for value, part in moments))
            query = query.where(key > last if self.is_ascending else key < last)
        order = (moment.asc(), number.asc()) if self.is_ascending else (moment.desc(), number.desc())
        return query.order_by(*order).limit(self.limit)

    def merged(self, keys: list[Key]) -> list[Key]:
        """The first of keys that came from several runs."""
        return sorted(keys, reverse=not self.is_ascending)[: self.limit]


def find_keys(db: Database, connection: Connection, wanted: FrameFilter, page: Page) -> list[Key]:
    """Keys of the frames of a page, in its order."""
    if db.is_sqlite:
        return _plainly(connection, wanted, page)
    leading = [name for name in _LEADERS if _is_asked(wanted, name)]
    if len(leading) > 1 or _is_narrow(wanted):
        few = _few(connection, wanted, leading)
        if few is not None:
            return _plainly(connection, wanted, page, among(db, frames.c.id, few))
    if not leading:
        return _plainly(connection, wanted, page)
    return _LEADERS[leading[0]](connection, wanted, page)


def _is_asked(wanted: FrameFilter, name: str) -> bool:
    if name == "quality":
        return wanted.quality_min is not None or wanted.quality_max is not None
    return getattr(wanted, name) is not None


def _plainly(
    connection: Connection, wanted: FrameFilter, page: Page, *more: ColumnElement[bool]
) -> list[Key]:
    query = select(frames.c.moment, frames.c.id).where(*conditions(wanted), *more)
    return _keys(connection, page.of(query, frames.c.moment, frames.c.id))


def _keys(connection: Connection, query: Select[Any]) -> list[Key]:
    return [(row[0], row[1]) for row in connection.execute(query)]


def _said(value: str | int | float) -> ColumnElement[Any]:
    """A value inside the statement, so that no plan is made without knowing it and kept."""
    return bindparam(None, value, literal_execute=True)


def conditions(wanted: FrameFilter, *, without: Sequence[str] = ()) -> list[ColumnElement[bool]]:
    """What `frames` must fulfil, but for some filters."""
    tests: dict[str, Callable[[Any], ColumnElement[bool]]] = {
        "sha256": lambda value: frames.c.sha256 == value,
        "instrument": lambda value: frames.c.instrument == _said(value),
        "time_from": lambda value: frames.c.moment >= value,
        "time_to": lambda value: frames.c.moment < value,
        "status": lambda value: frames.c.status == _said(str(value)),
        "mark": lambda value: frames.c.mark == _said(value),
        "sky_class": lambda value: frames.c.sky_class == _said(value),
        "quality_min": lambda value: frames.c.quality_score >= value,
        "quality_max": lambda value: frames.c.quality_score <= value,
        "wavelength_nm": lambda value: frames.c.wavelength_nm.between(*_wavelengths(value)),
        "cause": lambda value: _has(causes, causes.c.cause == value),
        "event_type": lambda value: _has(
            segmentations, and_(segmentations.c.event_type == value, segmentations.c.regions > 0)
        ),
    }
    return [
        test(value)
        for name, test in tests.items()
        if name not in without and (value := getattr(wanted, name)) is not None
    ]


def _has(table: FromClause, condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether a frame has such a row; a scalar, which the planner asks of one frame after another."""
    found: Select[Any] = (
        select(literal_column("1")).where(table.c.frame_id == frames.c.id, condition).limit(1)
    )
    return found.correlate(frames).scalar_subquery().is_not(None)


def _wavelengths(value_nm: float) -> tuple[float, float]:
    return value_nm - _WAVELENGTH_TOLERANCE_NM, value_nm + _WAVELENGTH_TOLERANCE_NM


def _by_frames(connection: Connection, wanted: FrameFilter, page: Page) -> list[Key]:
    """Filters on columns of `frames` that are each the head of an index in the lists' order."""
    return _plainly(connection, wanted, page)


def _by_cause(connection: Connection, wanted: FrameFilter, page: Page) -> list[Key]:
    return _by_other(connection, wanted, page, "cause", causes, causes.c.cause == _said(wanted.cause or ""))


def _by_event_type(connection: Connection, wanted: FrameFilter, page: Page) -> list[Key]:
    of_type = segmentations.c.event_type == _said(wanted.event_type or "")
    found = and_(of_type, literal_column("segmentations.regions > 0"))
    return _by_other(connection, wanted, page, "event_type", segmentations, found)


def _by_other(
    connection: Connection,
    wanted: FrameFilter,
    page: Page,
    name: str,
    table: FromClause,
    condition: ColumnElement[bool],
) -> list[Key]:
    """A filter on another table, which repeats the frames' instrument and moment."""
    query = select(table.c.moment, table.c.frame_id).where(condition)
    if wanted.instrument is not None:
        query = query.where(table.c.instrument == _said(wanted.instrument))
    if wanted.time_from is not None:
        query = query.where(table.c.moment >= wanted.time_from)
    if wanted.time_to is not None:
        query = query.where(table.c.moment < wanted.time_to)
    rest = conditions(wanted, without=(name, "instrument", "time_from", "time_to"))
    if rest:
        frame: Select[Any] = (
            select(literal_column("1")).where(frames.c.id == table.c.frame_id, *rest).limit(1)
        )
        query = query.where(frame.correlate(table).scalar_subquery().is_not(None))
    return _keys(connection, page.of(query, table.c.moment, table.c.frame_id))


def _by_quality(connection: Connection, wanted: FrameFilter, page: Page) -> list[Key]:
    """Run by run of one step of scores each, merged."""
    steps = values(column("step", Integer), name="steps").data([(step,) for step in _steps(wanted)])
    names: list[str | None] = [wanted.instrument]
    if wanted.wavelength_nm is not None and wanted.instrument is None:
        pairs = _pairs(connection, wanted.wavelength_nm)
        names = names if pairs is None else [*sorted({name for _, name in pairs})]
    found: list[Key] = []
    for name in names:
        mine = replace(wanted, instrument=name)
        run = select(frames.c.moment, frames.c.id).where(steps.c.step == _STEP, *conditions(mine))
        run = page.of(run.correlate(steps), frames.c.moment, frames.c.id)
        one = lateral(run, name="one")
        query = select(one.c.moment, one.c.id).select_from(steps.join(one, true()))
        found += _keys(connection, replace(page, after=None).of(query, one.c.moment, one.c.id))
    return page.merged(found)


def _steps(wanted: FrameFilter) -> range:
    low = 0.0 if wanted.quality_min is None else wanted.quality_min
    high = 1.0 if wanted.quality_max is None else wanted.quality_max
    return range(math.floor(low * _STEPS), math.floor(high * _STEPS) + 1)


def _is_narrow(wanted: FrameFilter) -> bool:
    """Whether scores are asked for within a step or two, of which they may be a small part."""
    return _is_asked(wanted, "quality") and len(_steps(wanted)) <= 2


def _by_wavelength(connection: Connection, wanted: FrameFilter, page: Page) -> list[Key]:
    """Run by run of one wavelength and instrument each, merged."""
    assert wanted.wavelength_nm is not None
    pairs = _pairs(connection, wanted.wavelength_nm)
    if pairs is None:
        return _plainly(connection, wanted, page)
    found: list[Key] = []
    for wavelength_nm, name in pairs:
        if wanted.instrument in (None, name):
            mine = replace(wanted, instrument=name, wavelength_nm=None)
            found += _plainly(connection, mine, page, frames.c.wavelength_nm == _said(wavelength_nm))
    return page.merged(found)


_PAIRS = text(
    """
    WITH RECURSIVE seen AS (
        (SELECT wavelength_nm, instrument FROM frames
         WHERE wavelength_nm >= :low AND wavelength_nm <= :high AND instrument IS NOT NULL
         ORDER BY wavelength_nm, instrument LIMIT 1)
        UNION ALL
        SELECT following.wavelength_nm, following.instrument FROM seen CROSS JOIN LATERAL (
            SELECT wavelength_nm, instrument FROM frames
            WHERE (wavelength_nm, instrument) > (seen.wavelength_nm, seen.instrument)
                AND wavelength_nm <= :high AND instrument IS NOT NULL
            ORDER BY wavelength_nm, instrument LIMIT 1) AS following
    )
    SELECT wavelength_nm, instrument FROM seen LIMIT :most
    """
)


def among(db: Database, number: ColumnElement[int], ids: Sequence[int]) -> ColumnElement[bool]:
    """Whether a number is one of some; as one array where the database knows arrays."""
    if db.is_sqlite:
        return number.in_(ids)
    return number == any_(literal(list(ids), ARRAY(BigInteger)))


def instruments_at(db: Database, connection: Connection, wavelength_nm: float) -> list[str] | None:
    """Instruments that have frames of a wavelength; None when they cannot be told cheaply."""
    pairs = None if db.is_sqlite else _pairs(connection, wavelength_nm)
    return None if pairs is None else sorted({name for _, name in pairs})


def _pairs(connection: Connection, wavelength_nm: float) -> list[tuple[float, str]] | None:
    """Wavelengths as the headers have them, each with its instrument, by jumps along the index.

    None when they are too many: headers with a measured wavelength.
    """
    low, high = _wavelengths(wavelength_nm)
    rows = connection.execute(_PAIRS, {"low": low, "high": high, "most": _MAX_PAIRS + 1}).all()
    return None if len(rows) > _MAX_PAIRS else [(row[0], row[1]) for row in rows]


def _few(connection: Connection, wanted: FrameFilter, leading: Sequence[str]) -> list[int] | None:
    """Ids of the frames that pass one of the filters, when they are few."""
    for name in leading:
        ids = list(connection.execute(_narrowed(wanted, name).limit(_FEW + 1)).scalars())
        if len(ids) <= _FEW:
            return ids
    return None


def _narrowed(wanted: FrameFilter, name: str) -> Select[Any]:
    """Frames that pass one filter, in the order of its index alone."""
    if name == "cause":
        return select(causes.c.frame_id).where(causes.c.cause == _said(wanted.cause or ""))
    if name == "event_type":
        of_type = segmentations.c.event_type == _said(wanted.event_type or "")
        return select(segmentations.c.frame_id).where(of_type, literal_column("segmentations.regions > 0"))
    alone = {field: None for field in vars(wanted)}
    kept = ("quality_min", "quality_max") if name == "quality" else (name,)
    only = FrameFilter(**(alone | {field: getattr(wanted, field) for field in kept}))
    query = select(frames.c.id).where(*conditions(only))
    # In its own order, so that its index is used whatever the planner believes.
    order = {"quality": frames.c.quality_score, "wavelength_nm": frames.c.wavelength_nm}
    return query.order_by(order[name]) if name in order else query.order_by(frames.c[name], frames.c.moment)


# The most telling first: it leads, the others are asked of what it offers.
_LEADERS: dict[str, Callable[[Connection, FrameFilter, Page], list[Key]]] = {
    "sha256": _by_frames,
    "mark": _by_frames,
    "cause": _by_cause,
    "event_type": _by_event_type,
    "sky_class": _by_frames,
    "quality": _by_quality,
    "wavelength_nm": _by_wavelength,
    "status": _by_frames,
}

__all__ = ["FrameFilter", "Key", "Page", "among", "conditions", "find_keys", "instruments_at"]
