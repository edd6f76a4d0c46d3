"""Pictures and files that can be had of frames, for discovery: newest frames first, a page at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, false, or_, select

from observatory.storage.frames import Status
from observatory.storage.schema import frames, products
from observatory.storage.session import Database

SKY_FAMILY = "allsky"
"""Pipeline of frames that show the sky; all others show the Sun."""

LONGEST_EXPOSURE = timedelta(hours=1)
"""Frames that began so long before a time may still have been exposed at it."""

_PAGE = 500  # frames a question


@dataclass(frozen=True)
class Span:
    """Closed interval of numbers or times; None: open on that side."""

    low: Any = None
    high: Any = None


@dataclass(frozen=True)
class ImageFilter:
    """Which frames are asked for; None means any, an empty sequence none.

    Attributes
    ----------
    times : sequence of Span of datetime
        Of the start of the exposure.
    wavelengths_nm, exposures_s : sequence of Span of float
    instruments, observatories : sequence of str
    frame_ids : sequence of int
    of_sun : bool or None
        Only frames of the Sun, or only those of the sky.
    """

    times: Sequence[Span] | None = None
    wavelengths_nm: Sequence[Span] | None = None
    exposures_s: Sequence[Span] | None = None
    instruments: Sequence[str] | None = None
    observatories: Sequence[str] | None = None
    frame_ids: Sequence[int] | None = None
    of_sun: bool | None = None


def span_of(db: Database) -> tuple[datetime, datetime] | None:
    """Times of the first and the last frame that are done."""
    moment = frames.c.moment
    mine = select(moment).where(frames.c.status == Status.DONE)
    with db.read() as connection:
        first = connection.execute(mine.order_by(moment.asc()).limit(1)).scalar()
        last = connection.execute(mine.order_by(moment.desc()).limit(1)).scalar()
    return None if first is None or last is None else (first, last)


def frames_of(db: Database, product_ids: Sequence[int]) -> list[int]:
    """Frames that products were made of."""
    with db.read() as connection:
        query = select(products.c.frame_id).where(products.c.id.in_(product_ids))
        return list(connection.execute(query).scalars())


def pages(db: Database, wanted: ImageFilter) -> Iterator[list[dict[str, Any]]]:
    """Frames that are done and have a time, each with `products`: the newest of each kind."""
    after: tuple[datetime, int] | None = None
    while True:
        with db.read() as connection:
            rows = [dict(row) for row in connection.execute(_query(wanted, after).limit(_PAGE)).mappings()]
            _add_products(connection, rows)
        if rows:
            yield rows
        if len(rows) < _PAGE:
            return
        after = rows[-1]["moment"], rows[-1]["id"]


def _query(wanted: ImageFilter, after: tuple[datetime, int] | None) -> Select[Any]:
    moment, number = frames.c.moment, frames.c.id
    query = select(*frames.c).where(frames.c.status == Status.DONE, frames.c.date_obs.is_not(None))
    query = query.where(*_conditions(wanted))
    if after is not None:
        key, last = after
        query = query.where(moment <= key, or_(moment < key, number < last))
    return query.order_by(moment.desc(), number.desc())


def _conditions(wanted: ImageFilter) -> list[ColumnElement[bool]]:
    found = [
        _any_of(column, spans)
        for column, spans in (
            (frames.c.moment, wanted.times),
            (frames.c.wavelength_nm, wanted.wavelengths_nm),
            (frames.c.exposure_time_s, wanted.exposures_s),
        )
        if spans is not None
    ]
    for column, values in (
        (frames.c.instrument, wanted.instruments),
        (frames.c.observatory, wanted.observatories),
    ):
        if values is not None:
            found.append(column.in_(values))
    if wanted.frame_ids is not None:
        found.append(frames.c.id.in_(wanted.frame_ids))
    if wanted.of_sun is not None:
        found.append((frames.c.family != SKY_FAMILY) if wanted.of_sun else frames.c.family == SKY_FAMILY)
    return found


def _any_of(column: ColumnElement[Any], spans: Sequence[Span]) -> ColumnElement[bool]:
    if not spans:
        return false()
    return or_(*(_within(column, span) for span in spans))


def _within(column: ColumnElement[Any], span: Span) -> ColumnElement[bool]:
    bounds = [] if span.low is None else [column >= span.low]
    bounds += [] if span.high is None else [column <= span.high]
    return and_(*bounds) if bounds else column.is_not(None)


def _add_products(connection: Any, rows: list[dict[str, Any]]) -> None:
    by_frame: dict[int, dict[str, dict[str, Any]]] = {row["id"]: {} for row in rows}
    if rows:
        query = select(*products.c).where(products.c.frame_id.in_(by_frame)).order_by(products.c.id)
        for product in connection.execute(query).mappings():
            by_frame[product["frame_id"]][product["kind"]] = dict(product)
    for row in rows:
        row["products"] = list(by_frame[row["id"]].values())
