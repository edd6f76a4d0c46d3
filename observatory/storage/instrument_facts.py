"""What an instrument's frames of a span of time have in common: scores, causes, where the time goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import quantiles

from sqlalchemy import ColumnElement, Integer, cast, func, select

from observatory.storage.frames import Status
from observatory.storage.schema import causes, frames
from observatory.storage.session import Database

STEPS = 20
"""Columns of the histogram: scores of 0 to 1 in steps of a twentieth."""
_TIMED = 2000  # newest frames whose times are looked at
_STAGES = (
    ("noticed", frames.c.closed_at, frames.c.received_at),
    ("queued", frames.c.received_at, frames.c.claimed_at),
    ("worked on", frames.c.claimed_at, frames.c.processed_at),
    ("in all", frames.c.closed_at, frames.c.processed_at),
)


@dataclass(frozen=True)
class Step:
    """Frames whose scores lie in one column of the histogram."""

    frames: int
    degraded: int
    undated: int
    """Frames that tell no time of their own: they count when they came."""


@dataclass(frozen=True)
class Stage:
    """How long one part of a frame's way took, over many frames.

    Attributes
    ----------
    name : str
        ``noticed`` (from the file's end to its row), ``queued``, ``worked on`` or ``in all``.
    p50_s, p95_s, most_s : float
    """

    name: str
    frames: int
    p50_s: float
    p95_s: float
    most_s: float


def histogram(db: Database, instrument: str, start: datetime, end: datetime) -> list[Step]:
    """Scores of an instrument's frames in `STEPS` columns, the worst first."""
    step = cast(func.floor(frames.c.quality_score * STEPS), Integer)
    query = (
        select(
            step.label("step"),
            func.count().label("frames"),
            func.count().filter(frames.c.is_degraded.is_(True)).label("degraded"),
            func.count().filter(frames.c.date_obs.is_(None)).label("undated"),
        )
        .where(*_of(frames.c.instrument, frames.c.moment, instrument, start, end))
        .where(frames.c.quality_score.is_not(None))
        .group_by(step)
    )
    found = [Step(0, 0, 0)] * STEPS
    with db.read() as connection:
        for row in connection.execute(query):
            place = min(max(row.step, 0), STEPS - 1)  # a score of exactly 1 belongs to the last
            so_far = found[place]
            found[place] = Step(
                so_far.frames + row.frames, so_far.degraded + row.degraded, so_far.undated + row.undated
            )
    return found


def cause_counts(db: Database, instrument: str, start: datetime, end: datetime) -> list[tuple[str, int]]:
    """How many frames each cause was named of, the commonest first."""
    number = func.count()
    query = (
        select(causes.c.cause, number)
        .where(*_of(causes.c.instrument, causes.c.moment, instrument, start, end))
        .group_by(causes.c.cause)
        .order_by(number.desc(), causes.c.cause)
    )
    with db.read() as connection:
        return [(row[0], row[1]) for row in connection.execute(query)]


def stages(db: Database, instrument: str, start: datetime, end: datetime) -> list[Stage]:
    """Where the time went, of the newest 2000 finished frames of a span; stages without times are left out."""
    moments = [frames.c[name] for name in ("closed_at", "received_at", "claimed_at", "processed_at")]
    query = (
        select(*moments)
        .where(*_of(frames.c.instrument, frames.c.moment, instrument, start, end))
        .where(frames.c.status == Status.DONE.value)
        .order_by(frames.c.moment.desc(), frames.c.id.desc())
        .limit(_TIMED)
    )
    with db.read() as connection:
        rows = connection.execute(query).all()
    found = []
    for name, since, until in _STAGES:
        times = [
            (later - earlier).total_seconds()
            for row in rows
            if (earlier := row._mapping[since]) is not None and (later := row._mapping[until]) is not None
        ]
        if times:
            found.append(_stage(name, times))
    return found


def _stage(name: str, times: Sequence[float]) -> Stage:
    times = sorted(max(0.0, value) for value in times)  # clocks of two machines may disagree by a little
    cuts = quantiles(times, n=20, method="inclusive") if len(times) > 1 else times * 19
    return Stage(name, len(times), cuts[9], cuts[18], times[-1])


def _of(
    name: ColumnElement[str], moment: ColumnElement[datetime], instrument: str, start: datetime, end: datetime
) -> tuple[ColumnElement[bool], ...]:
    return name == instrument, moment >= start, moment < end
