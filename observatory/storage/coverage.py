"""What the completeness ledger asks of the database: when frames came, and what people said of closures.

A month of a six-second cadence is half a million frames, of which the ledger needs two times and two
letters each. They leave the database as one piece of bytes a day, not as rows: that is several times as fast.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    ColumnElement,
    Connection,
    LargeBinary,
    Select,
    String,
    case,
    cast,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    type_coerce,
    union,
)

from observatory import cadence
from observatory.errors import HeliowatchError
from observatory.ledger import Came
from observatory.observing import Window
from observatory.storage import events, standing
from observatory.storage.frames import Priority, Status
from observatory.storage.schema import arrivals, closures, frames, open_gaps
from observatory.storage.session import Database
from observatory.storage.standing import IS_AHEAD
from observatory.storage.texts import plain_text

MOST_FRAMES = 1_000_000
"""Frames of one question; 26 days of one every 2 seconds."""

_PIECE = timedelta(days=1)
_RECENT = 200
_INSTANT = timedelta(microseconds=1)
_TIME_BYTES = 26  # 2026-11-20 08:00:00.000000, as SQLAlchemy writes every time into SQLite
_RECORD_BYTES = 2 * _TIME_BYTES + 2
_LONGEST_REASON = 500
_MOST_SIGHTINGS = 200_000
_MOST_GAPS = 2000


class TooManyFramesError(HeliowatchError):
    """A span holds more frames than one question may read."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"that span holds more than {limit:,} frames: ask for a shorter time")


class NoSuchClosureError(HeliowatchError):
    """There is no closure of that number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"there is no closure {number}; `heliowatch closures list` shows them")


_worth: ColumnElement[str] = case(
    (frames.c.status.in_((Status.RECEIVED.value, Status.PROCESSING.value)), literal("2")),
    (frames.c.status != Status.DONE.value, literal("1")),
    (frames.c.mark == "good", literal("3")),
    (frames.c.mark == "bad", literal("1")),
    (frames.c.is_degraded.is_(True), literal("1")),
    else_=literal("3"),
)
"""`Worth` of a frame; a human's word wins over the machine's."""

_is_dated = frames.c.date_obs.is_not(None)
_origin: ColumnElement[str] = case(
    (frames.c.priority != Priority.LIVE.value, case((_is_dated & ~IS_AHEAD, "b"), else_="x")),
    (IS_AHEAD, "a"),
    (_is_dated, "l"),
    else_="u",
)
"""Live: l, dated; a, dated ahead of its arrival; u, undated. Of an archive: b, dated; x, else: nowhere in time."""


@dataclass(frozen=True)
class _Rows:
    """Columns of frames."""

    stands_s: NDArray[np.float64]
    received_s: NDArray[np.float64]
    worth: NDArray[np.int8]
    origin: NDArray[np.uint8]


def came(
    db: Database, instrument: str, start: datetime, end: datetime, *, most_frames: int = MOST_FRAMES
) -> Came:
    """Frames of an instrument in a span of time, with the ones next to it, where they stand (`storage.standing`).

    Raises
    ------
    TooManyFramesError
    """
    with db.read() as connection:
        found = _joined(list(_pieces(db, connection, instrument, start, end, most_frames)))
        before = _read(db, connection, standing.newest(_placed, instrument, _RECENT, start))
        after = _read(db, connection, standing.first(_placed, instrument, end))
        first = connection.execute(standing.first(_stands, instrument)).scalar()
    return _as_came(found, before, after, None if first is None else first.timestamp())


def recent(db: Database, instrument: str, until: datetime) -> tuple[Came, bool]:
    """The newest frames of an instrument before a moment, and whether the very newest came live."""
    with db.read() as connection:
        found = _read(db, connection, standing.newest(_placed, instrument, _RECENT, until))
    none = _empty_rows()
    whole = _as_came(found, none, none, float(found.stands_s[0]) if len(found.stands_s) else None)
    is_live = bool(len(found.origin)) and chr(found.origin[-1]) in "lau"
    return whole, is_live


def _as_came(found: _Rows, before: _Rows, after: _Rows, first_s: float | None) -> Came:
    placed = found.origin != ord("x")
    live = found if (found.origin == ord("l")).sum() >= cadence.LEAST_LEARNED else before
    is_live = live.origin == ord("l")
    times = [before.stands_s[-1:], found.stands_s[placed], after.stands_s[:1]]
    worth = [before.worth[-1:], found.worth[placed], after.worth[:1]]
    return Came(
        times_s=np.concatenate(times),
        worth=np.concatenate(worth),
        lateness_s=(live.received_s - live.stands_s)[is_live],
        first_s=first_s,
        usual_s=cadence.learn(before.stands_s),
        undated=int(((found.origin == ord("x")) | (found.origin == ord("u"))).sum()),
    )


def _pieces(
    db: Database, connection: Connection, instrument: str, start: datetime, end: datetime, limit: int
) -> Iterator[_Rows]:
    known, ahead = standing.both(_columns, instrument)
    moment, received = frames.c.moment, frames.c.received_at
    pieces = [ahead.where(received >= start, received < end)]  # few, if there are any
    while start < end:
        stop = min(start + _PIECE, end)
        pieces.append(known.where(moment >= start, moment < stop))
        start = stop
    left = limit
    for piece in pieces:
        rows = _read(db, connection, piece.limit(left + 1))
        left -= len(rows.stands_s)
        if left < 0:
            raise TooManyFramesError(limit)
        yield rows


def _stands(column: ColumnElement[datetime]) -> Select[Any]:
    return select(column.label("stands"))


def _columns(column: ColumnElement[datetime]) -> Select[Any]:
    more = (frames.c.received_at, _worth.label("worth"), _origin.label("origin"))
    return _stands(column).add_columns(*more)


def _placed(column: ColumnElement[datetime]) -> Select[Any]:
    return _columns(column).where(_origin != literal("x"))


def _read(db: Database, connection: Connection, query: Select[Any]) -> _Rows:
    """Run a question for columns and give them in order of time."""
    part = query.subquery()
    if db.is_sqlite:
        record = func.group_concat(
            _text(part.c.stands).concat(_text(part.c.received_at)).concat(part.c.worth).concat(part.c.origin),
            "",
        )
        word = connection.execute(select(record)).scalar()
        found = _empty_rows() if not word else _from_text(word)
    else:
        letters = [func.string_agg(part.c[name], "") for name in ("worth", "origin")]
        empty = cast(literal(b""), LargeBinary)
        times = [
            func.string_agg(func.float8send(func.date_part("epoch", part.c[name])), empty)
            for name in ("stands", "received_at")
        ]
        row = connection.execute(select(*times, *letters)).one()
        found = _empty_rows() if row[0] is None else _from_columns(row)
    return _in_order(found)


def _in_order(found: _Rows) -> _Rows:
    order = np.argsort(found.stands_s, kind="stable")
    return _Rows(*(column[order] for column in vars(found).values()))


def _text(column: ColumnElement[Any]) -> ColumnElement[str]:
    """A time as SQLite keeps it."""
    return type_coerce(column, String)


def _from_text(word: str) -> _Rows:
    table = np.frombuffer(word.encode("ascii"), np.uint8).reshape(-1, _RECORD_BYTES)
    return _Rows(
        _seconds(table[:, :_TIME_BYTES]),
        _seconds(table[:, _TIME_BYTES : 2 * _TIME_BYTES]),
        (table[:, -2] - ord("0")).astype(np.int8),
        table[:, -1],
    )


def _seconds(text: NDArray[np.uint8]) -> NDArray[np.float64]:
    """POSIX seconds of times as SQLite keeps them."""

    def number(first: int, end: int) -> NDArray[np.int64]:
        value = np.zeros(len(text), np.int64)
        for place in range(first, end):
            value = value * 10 + (text[:, place] - ord("0"))
        return value

    months = (number(0, 4) - 1970) * 12 + number(5, 7) - 1
    days = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) + number(8, 10) - 1
    whole = days * 86400 + number(11, 13) * 3600 + number(14, 16) * 60 + number(17, 19)
    return whole + number(20, 26) / 1e6


def _from_columns(row: Sequence[Any]) -> _Rows:
    stands, received = (np.frombuffer(part, ">f8").astype(np.float64) for part in row[:2])
    worth, origin = (np.frombuffer(part.encode("ascii"), np.uint8) for part in row[2:])
    return _Rows(stands, received, (worth - ord("0")).astype(np.int8), origin)


def _empty_rows() -> _Rows:
    return _Rows(np.empty(0), np.empty(0), np.empty(0, np.int8), np.empty(0, np.uint8))


def _joined(parts: Sequence[_Rows]) -> _Rows:
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return _in_order(_Rows(*map(np.concatenate, columns)))


def sightings(db: Database, instrument: str, moments_s: Sequence[float]) -> dict[float, list[float]]:
    """When the bytes of frames came, and came again: POSIX seconds by where the frame stands, in order.

    The newest ones alone, where there are very many.
    """
    found: dict[float, list[float]] = {}
    wanted = [_moment(seconds) for seconds in sorted(moments_s)[-_MOST_GAPS:]]
    left = _MOST_SIGHTINGS
    seen = (
        select(frames.c.moment, frames.c.received_at, arrivals.c.id, arrivals.c.seen_at)
        .join(arrivals, arrivals.c.sha256 == frames.c.sha256)
        .where(frames.c.instrument == instrument, frames.c.frame_index == 0)
    )
    with db.read() as connection:
        for first in range(0, len(wanted), 500):
            some = wanted[first : first + 500]
            # Each by an index of its own, as one condition with `or` would not be.
            either = (seen.where(column.in_(some)) for column in (frames.c.moment, frames.c.received_at))
            rows = connection.execute(union(*either).limit(left)).all()
            left -= len(rows)
            for moment, received_at, _, seen_at in rows:
                found.setdefault(min(moment, received_at).timestamp(), []).append(seen_at.timestamp())
    return {moment: sorted(times) for moment, times in found.items() if len(times) > 1}


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@dataclass(frozen=True)
class Closure:
    """A span of time in which a human says that no frames are to be expected."""

    id: int
    instrument: str | None
    start_at: datetime
    end_at: datetime
    reason: str | None
    author: str
    created_at: datetime

    @property
    def as_window(self) -> Window:
        """The same, as the ledger takes it."""
        return Window(self.start_at, self.end_at, self.reason or "")


def close(db: Database, instrument: str | None, window: Window, author: str, now: datetime) -> Closure:
    """Note a closure of one instrument, or of all (None)."""
    row: dict[str, Any] = {
        "instrument": instrument,
        "start_at": window.start,
        "end_at": window.end,
        "reason": plain_text(window.reason[:_LONGEST_REASON]) or None,
        "author": plain_text(author)[:128],
        "created_at": now,
    }
    with db.write() as connection:
        number = connection.execute(insert(closures).values(row).returning(closures.c.id)).scalar_one()
    return Closure(id=number, **row)


def withdraw(db: Database, number: int) -> None:
    """Take a closure back.

    Raises
    ------
    NoSuchClosureError
    """
    with db.write() as connection:
        if not connection.execute(delete(closures).where(closures.c.id == number)).rowcount:
            raise NoSuchClosureError(number)


def closed(
    db: Database,
    instrument: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    limit: int = 1000,
) -> list[Closure]:
    """Closures that touch a span, newest first; with an instrument, its own and those of all."""
    query = select(closures)
    if instrument is not None:
        query = query.where(or_(closures.c.instrument == instrument, closures.c.instrument.is_(None)))
    if start is not None:
        query = query.where(closures.c.end_at > start)
    if end is not None:
        query = query.where(closures.c.start_at < end)
    with db.read() as connection:
        rows = connection.execute(
            query.order_by(closures.c.end_at.desc(), closures.c.id).limit(limit)
        ).mappings()
        return [Closure(**{str(name): row[name] for name in row}) for row in rows]


@dataclass(frozen=True)
class OpenGap:
    """A gap that was told and goes on; ``last_at`` is ``start_at`` where no frame ever came before it."""

    instrument: str
    last_at: datetime
    start_at: datetime
    opened_at: datetime

    @property
    def last_frame(self) -> datetime | None:
        """Moment of the last frame before it; None when there was none."""
        return self.last_at if self.last_at < self.start_at else None


def gaps_open(db: Database) -> dict[str, OpenGap]:
    """All gaps that are open, by instrument."""
    with db.read() as connection:
        rows = connection.execute(select(open_gaps)).mappings().all()
    return {row["instrument"]: OpenGap(**{str(name): row[name] for name in row}) for row in rows}


def open_gap(db: Database, gap: OpenGap, payload: dict[str, Any]) -> bool:
    """Note a gap and tell listeners; False when another process did so before."""
    with db.write() as connection:
        row = dict(vars(gap))
        if not db.insert_new(connection, open_gaps, [row], open_gaps.c.instrument):
            return False
        events.append(db, connection, [events.NewEvent("coverage", gap.instrument, None, payload)])
    return True


def end_gap(db: Database, gap: OpenGap, payload: dict[str, Any]) -> bool:
    """Forget a gap and tell listeners that it ended; False when another process did so before."""
    with db.write() as connection:
        mine = delete(open_gaps).where(
            open_gaps.c.instrument == gap.instrument, open_gaps.c.opened_at == gap.opened_at
        )
        if not connection.execute(mine).rowcount:
            return False
        events.append(db, connection, [events.NewEvent("coverage", gap.instrument, None, payload)])
    return True


def first_after(db: Database, instrument: str, moment: datetime, until: datetime) -> datetime | None:
    """Where the first frame stands after one moment and not after another."""
    with db.read() as connection:
        found = connection.execute(standing.first(_stands, instrument, moment + _INSTANT)).scalar()
    return found if found is not None and found <= until else None
