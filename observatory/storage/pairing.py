"""Which frames belong together in a composite: sets are formed here, one worker at a time.

A *set* is up to three frames of one *look*, one for each of its channels, that belong together in
time; a frame is in at most one set of a look. Frames that merely wait for partners are in no set: a row
appears when the set is complete, or when its time has run out. Which frames belong together is decided by
a pure function that the caller hands over.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, or_, select, text, update

from observatory.storage.frames import Priority, Status
from observatory.storage.schema import composite_frames, composites, frames
from observatory.storage.session import Database

_LOCK_SPACE = 0x72676221  # "rgb!": the first half of the key that one look's pairings take turns by
CHANNELS = 3


class SetStatus(StrEnum):
    """Where a set stands."""

    WAITING = "waiting"
    COMPOSING = "composing"
    DONE = "done"
    FAILED = "failed"
    ALONE = "alone"  # one channel only: its partners never came, there is no picture


@dataclass(frozen=True)
class Member:
    """A finished frame that may be paired.

    Attributes
    ----------
    channel : str
        Channel of the look that it can fill.
    processed_at : datetime
        When it was finished; the patience with its partners counts from here.
    set_id : int | None
        The incomplete set that it is in; None when it is free, or alone.
    is_done : bool
        False for a frame that is still being worked on: it is known to come, and its own group must wait
        for it rather than take a later frame in its place.
    """

    frame_id: int
    channel: str
    date_obs: datetime
    processed_at: datetime
    quality_score: float | None = None
    set_id: int | None = None
    is_done: bool = True


Arrange = Callable[[Sequence[Member]], Sequence[Sequence[Member]]]
"""Pure: members to groups that belong together, no channel twice in a group."""


@dataclass(frozen=True)
class _Rules:
    """What a look asks of the frames of a set."""

    look: str
    channels: Mapping[str, str]
    reach_s: float
    arrange: Arrange


def join(
    db: Database,
    look: str,
    frame_id: int,
    *,
    channels: Mapping[str, str],
    reach_s: float,
    arrange: Arrange,
    now: datetime,
) -> int | None:
    """Place a frame that is done; return the set that is complete now and waits to be made, if any.

    Parameters
    ----------
    channels : Mapping of str to str
        Instruments' names to the look's channels.
    reach_s : float
        How far from the frame's time its partners are looked for.
    """
    rules = _Rules(look, channels, reach_s, arrange)
    with db.write() as connection:
        _take_turn(db, connection, look)
        frame = _pairable(connection, frame_id, channels)
        if frame is None:
            return None
        held = _set_of(connection, look, frame_id)
        if held is not None and held.is_complete:
            return held.id if held.status == SetStatus.WAITING else None
        members = _members(connection, rules, frame.date_obs, with_waiting=True)
        group = _group_of(frame_id, arrange(members))
        if not all(item.is_done for item in group):
            return None  # whoever of them ends last finds the others
        if len(group) < CHANNELS or not _is_whole(connection, group):
            return None
        return _write_set(connection, look, group, now)


def overdue(
    db: Database,
    look: str,
    *,
    channels: Mapping[str, str],
    done_before: datetime,
    done_after: datetime,
    reach_s: float,
    arrange: Arrange,
    now: datetime,
    limit: int = 20,
    with_backfill: bool = False,
) -> list[int]:
    """Form the sets whose time has run out; return those that now wait to be made.

    Looks at frames finished from ``done_after`` to ``done_before`` that are in no set, the oldest
    first. A frame without any partner is noted as alone, so nothing is found twice.
    """
    kept = _in_time(channels, Priority.LIVE if not with_backfill else None)
    free = (
        select(frames.c.id)
        .where(
            *kept,
            frames.c.processed_at >= done_after,
            frames.c.processed_at < done_before,
            ~select(composite_frames.c.frame_id)
            .where(composite_frames.c.look == look, composite_frames.c.frame_id == frames.c.id)
            .exists(),
        )
        .order_by(frames.c.processed_at, frames.c.id)
        .limit(limit)
    )
    with db.read() as connection:
        found = list(connection.execute(free).scalars())
    rules = _Rules(look, channels, reach_s, arrange)
    formed = []
    for frame_id in found:
        with db.write() as connection:
            _take_turn(db, connection, look)
            made = _close(connection, rules, frame_id, done_before, now)
        if made is not None:
            formed.append(made)
    return formed


def _close(
    connection: Connection, rules: _Rules, frame_id: int, done_before: datetime, now: datetime
) -> int | None:
    """Form the set of one frame with what there is; None when nothing is to be made of it."""
    frame = _pairable(connection, frame_id, rules.channels)
    if frame is None or _set_of(connection, rules.look, frame_id) is not None:
        return None
    members = _members(connection, rules, frame.date_obs)
    group = _group_of(frame_id, rules.arrange(members))
    if len(group) < CHANNELS:
        # The young ones among the others may still find better partners than this one.
        old = [item for item in members if item.processed_at < done_before]
        group = _group_of(frame_id, rules.arrange(old))
    if not _is_whole(connection, group):
        group = [item for item in group if item.frame_id == frame_id]
    if len(group) > 1:
        return _write_set(connection, rules.look, group, now)
    alone = group or [item for item in members if item.frame_id == frame_id]
    _write_set(connection, rules.look, alone, now)
    return None


def _take_turn(db: Database, connection: Connection, look: str) -> None:
    """Let the pairings of one look happen one after the other; SQLite has one writer anyway."""
    if not db.is_sqlite:
        number = zlib.crc32(look.encode())
        signed = number - (1 << 32) if number >= 1 << 31 else number
        connection.execute(
            text("SELECT pg_advisory_xact_lock(:space, :look)"), {"space": _LOCK_SPACE, "look": signed}
        )


def _in_time(
    channels: Mapping[str, str],
    priority: Priority | None = None,
    states: Sequence[Status] = (Status.DONE,),
) -> list[ColumnElement[bool]]:
    """Conditions of a frame that may be in a set at all."""
    conditions = [
        frames.c.instrument.in_(list(channels)),
        frames.c.status.in_(states),
        frames.c.date_obs.is_not(None),
        func.coalesce(frames.c.mark, "") != "bad",
    ]
    return conditions if priority is None else [*conditions, frames.c.priority == priority]


def _pairable(connection: Connection, frame_id: int, channels: Mapping[str, str]) -> Any:
    return connection.execute(
        select(frames.c.id, frames.c.date_obs).where(frames.c.id == frame_id, *_in_time(channels))
    ).one_or_none()


def _set_of(connection: Connection, look: str, frame_id: int) -> Any:
    return connection.execute(
        select(composites.c.id, composites.c.status, composites.c.is_complete)
        .join(composite_frames, composite_frames.c.composite_id == composites.c.id)
        .where(composite_frames.c.look == look, composite_frames.c.frame_id == frame_id)
    ).one_or_none()


_COMING = (Status.DONE, Status.RECEIVED, Status.PROCESSING)


def _members(
    connection: Connection, rules: _Rules, around: datetime, *, with_waiting: bool = False
) -> list[Member]:
    """Frames near a moment that are in no complete set of the look; on wish those not done yet, too."""
    reach = timedelta(seconds=rules.reach_s)
    held = composite_frames.join(composites, composite_frames.c.composite_id == composites.c.id)
    rows = connection.execute(
        select(
            frames.c.id,
            frames.c.instrument,
            frames.c.date_obs,
            frames.c.processed_at,
            frames.c.received_at,
            frames.c.quality_score,
            frames.c.status.label("frame_status"),
            composites.c.id.label("set_id"),
            composites.c.status,
        )
        .select_from(
            frames.outerjoin(
                held, and_(composite_frames.c.frame_id == frames.c.id, composite_frames.c.look == rules.look)
            )
        )
        .where(
            *_in_time(rules.channels, states=_COMING if with_waiting else (Status.DONE,)),
            frames.c.moment >= around - reach,
            frames.c.moment <= around + reach,
            or_(composites.c.id.is_(None), composites.c.is_complete.is_(False)),
        )
        .order_by(frames.c.moment, frames.c.id)
    ).all()
    return [
        Member(
            frame_id=row.id,
            channel=rules.channels[row.instrument],
            date_obs=row.date_obs,
            processed_at=row.processed_at or row.received_at,
            quality_score=row.quality_score,
            is_done=row.frame_status == Status.DONE,
            set_id=None if row.status == SetStatus.ALONE else row.set_id,
        )
        for row in rows
    ]


def _group_of(frame_id: int, groups: Sequence[Sequence[Member]]) -> list[Member]:
    return next((list(group) for group in groups if any(item.frame_id == frame_id for item in group)), [])


def _is_whole(connection: Connection, group: Sequence[Member]) -> bool:
    """Whether a group takes an incomplete set as a whole, and not more than one."""
    taken = {item.set_id for item in group if item.set_id is not None}
    if not taken:
        return True
    held = set(
        connection.execute(
            select(composite_frames.c.frame_id).where(composite_frames.c.composite_id.in_(taken))
        ).scalars()
    )
    return len(taken) == 1 and held <= {item.frame_id for item in group}


def _write_set(connection: Connection, look: str, group: Sequence[Member], now: datetime) -> int:
    """Write a group: into the incomplete set that it grew from, else as a new one."""
    ids = [item.frame_id for item in group]
    alone = (
        select(composite_frames.c.composite_id)
        .join(composites, composites.c.id == composite_frames.c.composite_id)
        .where(
            composite_frames.c.look == look,
            composite_frames.c.frame_id.in_(ids),
            composites.c.status == SetStatus.ALONE,
        )
    )
    connection.execute(
        delete(composites).where(composites.c.id.in_(list(connection.execute(alone).scalars())))
    )
    values = {
        "date_obs": min(item.date_obs for item in group),
        "status": SetStatus.WAITING if len(group) > 1 else SetStatus.ALONE,
        "is_complete": len(group) == CHANNELS,
        "claimed_by": None,
        "attempts": 0,
        "retry_at": None,
        "reason": None,
    }
    grown = next((item.set_id for item in group if item.set_id is not None), None)
    if grown is None:
        new = values | {"look": look, "revision": 0, "created_at": now}
        set_id = connection.execute(insert(composites).values(new).returning(composites.c.id)).scalar_one()
    else:
        connection.execute(update(composites).where(composites.c.id == grown).values(values))
        set_id = grown
    connection.execute(
        insert(composite_frames),
        [
            {"composite_id": set_id, "channel": item.channel, "look": look, "frame_id": item.frame_id}
            for item in group
            if item.set_id is None
        ],
    )
    return int(set_id)
