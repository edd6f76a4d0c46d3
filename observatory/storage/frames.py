"""Frames: their rows from arrival to result. What is asked about them stands in `catalogue`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Row,
    and_,
    bindparam,
    func,
    literal,
    or_,
    select,
    update,
)

from observatory.frame import DateSource
from observatory.storage import events, leases
from observatory.storage.column_types import UtcDateTime
from observatory.storage.schema import arrivals, frames
from observatory.storage.session import Database
from observatory.storage.texts import plain_text, text_path


class Status(StrEnum):
    """Where a frame stands."""

    RECEIVED = "received"
    PROCESSING = "processing"
    DONE = "done"
    REJECTED = "rejected"
    FAILED = "failed"


class Priority(StrEnum):
    """Live frames go before an archive's."""

    LIVE = "live"
    BACKFILL = "backfill"


@dataclass(frozen=True)
class NewFrame:
    """One frame as the ingester hands it over."""

    sha256: str | None
    file_name: str
    path: str
    bytes: int
    received_at: datetime
    status: Status = Status.RECEIVED
    reason: str | None = None
    frame_index: int = 0
    instrument: str | None = None
    family: str | None = None
    observatory: str | None = None
    date_obs: datetime | None = None
    date_obs_source: DateSource = DateSource.NONE
    wavelength_nm: float | None = None
    exposure_time_s: float | None = None
    is_simulated: bool = False
    priority: Priority = Priority.LIVE
    closed_at: datetime | None = None
    processed_at: datetime | None = None


@dataclass(frozen=True)
class Arrival:
    """One sighting of a file: the same bytes may arrive under many paths."""

    sha256: str
    path: str
    bytes: int
    mtime_ns: int
    seen_at: datetime


@dataclass(frozen=True)
class Task:
    """What is put on the queue for a frame, and on which queue."""

    frame_id: int
    family: str
    priority: Priority


class Registered(list[Task]):
    """Tasks of the frames that wait now.

    Attributes
    ----------
    counts : Counter
        Rows written, by instrument and status: refused ones are among them.
    """

    def __init__(
        self, tasks: Iterable[Task] = (), counts: Counter[tuple[str | None, Status]] | None = None
    ) -> None:
        super().__init__(tasks)
        self.counts: Counter[tuple[str | None, Status]] = counts or Counter()


@dataclass(frozen=True)
class Claimed:
    """A frame that one worker alone works on now.

    Attributes
    ----------
    claimed_at : datetime
        With the worker's name it tells this claim from any other: threads of one process share their
        name, and one may claim the frame that was taken from another while their process was silent.
    seen : frozenset of tuple (bytes, mtime_ns)
        Lengths and times of last change with which its file was seen and hashed.
    """

    id: int
    sha256: str
    frame_index: int
    instrument: str
    path: Path
    file_name: str
    attempts: int
    closed_at: datetime | None
    received_at: datetime
    claimed_at: datetime
    seen: frozenset[tuple[int, int]] = frozenset()


def register(
    db: Database,
    new: Sequence[NewFrame],
    seen: Sequence[Arrival],
    published_at: datetime | None = None,
) -> Registered:
    """Write frames and sightings in one transaction; return the tasks of the new frames.

    The same bytes never make a second row: such frames are left out, their sightings kept. Only a
    frame that was rejected waits again when its bytes come anew and can be taken now: the file was
    away for a moment, or the settings that refused it were mended.

    Parameters
    ----------
    published_at : datetime | None
        Set when the caller publishes the tasks right after; the sweeper looks after those
        that do not arrive. None leaves the publishing to the sweeper.
    """
    rows = [
        vars(frame) | {"moment": frame.date_obs or frame.received_at, "published_at": published_at}
        for frame in new
    ]
    with db.write() as connection:
        kept = _without_known_refusals(connection, rows)
        fresh = db.insert_new(connection, frames, kept, *_FRESH_COLUMNS)
        fresh += _revive(connection, kept, {(row.sha256, row.frame_index) for row in fresh})
        db.insert_new(connection, arrivals, [vars(sighting) for sighting in seen])
        events.append(
            db,
            connection,
            [events.NewEvent("frame", row.instrument, row.id, _frame_event(row)) for row in fresh],
        )
    return Registered(
        (Task(row.id, row.family, Priority(row.priority)) for row in fresh if row.status == Status.RECEIVED),
        Counter((row.instrument, Status(row.status)) for row in fresh),
    )


_EVENT_COLUMNS = (
    frames.c.id,
    frames.c.instrument,
    frames.c.status,
    frames.c.file_name,
    frames.c.frame_index,
    frames.c.date_obs,
    frames.c.reason,
    frames.c.received_at,
)
_FRESH_COLUMNS = (*_EVENT_COLUMNS, frames.c.sha256, frames.c.family, frames.c.priority)


def _revive(
    connection: Connection, rows: list[dict[str, Any]], written: set[tuple[str | None, int]]
) -> list[Row[Any]]:
    """Let rejected frames wait again whose bytes have come anew and can be taken now."""
    again = {
        (row["sha256"], row["frame_index"]): row
        for row in rows
        if row["status"] == Status.RECEIVED and (row["sha256"], row["frame_index"]) not in written
    }
    if not again:
        return []
    refused = connection.execute(
        select(frames.c.id, frames.c.sha256, frames.c.frame_index).where(
            frames.c.status == Status.REJECTED, frames.c.sha256.in_({digest for digest, _ in again})
        )
    ).all()
    revived: list[Row[Any]] = []
    for row in refused:
        values = again.get((row.sha256, row.frame_index))
        if values is not None:
            fresh = values | {"attempts": 0, "processed_at": None, "retry_at": None, "latency_s": None}
            change = update(frames).where(frames.c.id == row.id).values(fresh).returning(*_FRESH_COLUMNS)
            revived += connection.execute(change).all()
    return revived


def _without_known_refusals(connection: Connection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out files that could not be opened and are already noted under that path."""
    unread = [row["path"] for row in rows if row["sha256"] is None]
    if not unread:
        return rows
    known = set(
        connection.execute(
            select(frames.c.path).where(frames.c.sha256.is_(None), frames.c.path.in_(unread))
        ).scalars()
    )
    kept = []
    for row in rows:
        if row["sha256"] is None:
            if row["path"] in known:
                continue
            known.add(row["path"])
        kept.append(row)
    return kept


def _frame_event(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "instrument": row.instrument,
        "status": row.status,
        "file_name": row.file_name,
        "frame": row.frame_index,
        "date_obs": row.date_obs,
        "reason": row.reason,
        "received_at": row.received_at,
    }


def known_files(db: Database, folder: Path) -> dict[str, tuple[int, int]]:
    """Sightings below a folder: path to (bytes, mtime_ns) of the newest.

    Files whose frame was rejected are left out, so that a start looks at them again.
    """
    refused = select(frames.c.sha256).where(frames.c.status == Status.REJECTED, frames.c.sha256.is_not(None))
    prefix = str(folder).rstrip("/") + "/"
    with db.read() as connection:
        rows = connection.execution_options(yield_per=5000).execute(
            select(arrivals.c.path, arrivals.c.bytes, arrivals.c.mtime_ns)
            .where(
                arrivals.c.path >= prefix,
                arrivals.c.path < prefix[:-1] + "0",  # "0" follows "/"
                arrivals.c.sha256.not_in(refused),
            )
            .order_by(arrivals.c.id)
        )
        return {row.path: (row.bytes, row.mtime_ns) for row in rows}


def mark_published(db: Database, tasks: Iterable[Task], now: datetime) -> None:
    """Note when frames were put on the queue."""
    ids = [task.frame_id for task in tasks]
    with db.write() as connection:
        connection.execute(update(frames).where(frames.c.id.in_(ids)).values(published_at=now))


def unpublish(db: Database, since: datetime) -> int:
    """Note that what was published from ``since`` on and nobody claimed is on no queue any more."""
    with db.write() as connection:
        done = connection.execute(
            update(frames)
            .where(frames.c.status == Status.RECEIVED, frames.c.published_at >= since)
            .values(published_at=None)
        )
    return done.rowcount


# Built once: to build a statement costs more than to run it on a small table.
_CLAIM = (
    update(frames)
    .where(frames.c.id == bindparam("frame"), frames.c.status == Status.RECEIVED)
    .values(
        status=Status.PROCESSING,
        claimed_at=bindparam("now"),
        claimed_by=bindparam("worker"),
        attempts=frames.c.attempts + 1,
    )
    .returning(
        frames.c.id,
        frames.c.sha256,
        frames.c.frame_index,
        frames.c.instrument,
        frames.c.path,
        frames.c.file_name,
        frames.c.attempts,
        frames.c.closed_at,
        frames.c.received_at,
    )
)
_SEEN = (
    select(arrivals.c.bytes, arrivals.c.mtime_ns)
    .where(arrivals.c.path == bindparam("path"), arrivals.c.sha256 == bindparam("digest"))
    .order_by(arrivals.c.id.desc())
    .limit(8)
)


def claim(db: Database, frame_id: int, worker: str, now: datetime) -> Claimed | None:
    """Take a frame that waits; None when another has it or it is finished.

    One UPDATE decides, so two workers that got the same task cannot both win.
    """
    with db.write() as connection:
        row = connection.execute(_CLAIM, {"frame": frame_id, "now": now, "worker": worker}).one_or_none()
        if row is None:
            return None
        seen = connection.execute(_SEEN, {"path": row.path, "digest": row.sha256}).all()
    return Claimed(
        id=row.id,
        sha256=row.sha256,
        frame_index=row.frame_index,
        instrument=row.instrument,
        path=text_path(row.path),
        file_name=row.file_name,
        attempts=row.attempts,
        closed_at=row.closed_at,
        received_at=row.received_at,
        claimed_at=now,
        seen=frozenset((look.bytes, look.mtime_ns) for look in seen),
    )


def held(
    frame_id: int | BindParameter[int],
    worker: str | BindParameter[str],
    claimed_at: datetime | BindParameter[datetime | None] | None,
) -> ColumnElement[bool]:
    """Whether a claim still holds; without its moment, any claim of the worker's."""
    moment = claimed_at
    if not isinstance(moment, BindParameter):
        moment = literal(claimed_at, UtcDateTime())
    return and_(
        frames.c.id == frame_id,
        frames.c.claimed_by == worker,
        frames.c.claimed_at == func.coalesce(moment, frames.c.claimed_at),
        frames.c.status == Status.PROCESSING,
    )


def give_back(
    db: Database,
    frame_id: int,
    worker: str,
    retry_at: datetime,
    *,
    is_counted: bool,
    claimed_at: datetime | None = None,
) -> None:
    """Let a frame wait again after a failure; the sweeper publishes it when ``retry_at`` has come.

    Parameters
    ----------
    is_counted : bool
        Whether the try counts towards the bounded attempts: a defect's does, a full disk's not.
    claimed_at : datetime or None
        Of the `Claimed`: then another claim under the same name is left alone.
    """
    with db.write() as connection:
        connection.execute(
            update(frames)
            .where(held(frame_id, worker, claimed_at))
            .values(
                status=Status.RECEIVED,
                claimed_by=None,
                published_at=None,
                retry_at=retry_at,
                attempts=frames.c.attempts if is_counted else frames.c.attempts - 1,
            )
        )


def other_paths(db: Database, sha256: str, path: Path) -> list[Path]:
    """Other places where the same bytes were seen, newest first."""
    with db.read() as connection:
        rows = connection.execute(
            select(arrivals.c.path).where(arrivals.c.sha256 == sha256).order_by(arrivals.c.id.desc())
        ).scalars()
        return [found for row in rows if (found := text_path(row)) != path]


def refuse(
    db: Database,
    frame_id: int,
    worker: str,
    status: Status,
    reason: str,
    now: datetime,
    *,
    claimed_at: datetime | None = None,
) -> None:
    """End a frame as rejected (unusable input) or failed (defect), with its reason; as `give_back`."""
    with db.write() as connection:
        row = connection.execute(
            update(frames)
            .where(held(frame_id, worker, claimed_at))
            .values(status=status, reason=plain_text(reason[:2000]), processed_at=now, claimed_by=None)
            .returning(*_EVENT_COLUMNS)
        ).one_or_none()
        if row is not None:
            events.append(
                db, connection, [events.NewEvent("frame", row.instrument, row.id, _frame_event(row))]
            )


def release_abandoned(db: Database, now: datetime, lease_s: float, max_attempts: int) -> tuple[int, int]:
    """Take frames back from workers that fell silent.

    Returns
    -------
    tuple of int
        Frames that wait again, and frames that failed because they were tried too often.
    """
    abandoned = leases.abandoned(frames, Status.PROCESSING, now, lease_s)
    with db.write() as connection:
        failed = connection.execute(
            update(frames)
            .where(abandoned, frames.c.attempts >= max_attempts)
            .values(
                status=Status.FAILED,
                processed_at=now,
                claimed_by=None,
                reason=f"the worker died {max_attempts} times on this frame: look at its log, then reprocess",
            )
            .returning(*_EVENT_COLUMNS)
        ).all()
        waiting = connection.execute(
            update(frames)
            .where(abandoned)
            .values(status=Status.RECEIVED, claimed_by=None, published_at=None)
            .returning(frames.c.id)
        ).all()
        events.append(
            db,
            connection,
            [events.NewEvent("frame", row.instrument, row.id, _frame_event(row)) for row in failed],
        )
    return len(waiting), len(failed)


@dataclass(frozen=True)
class Waiting:
    """How much waits on one queue."""

    family: str
    priority: Priority
    count: int
    oldest: datetime


def waiting(db: Database) -> list[Waiting]:
    """Count what waits to be claimed, by queue."""
    with db.read() as connection:
        rows = connection.execute(
            select(frames.c.family, frames.c.priority, func.count(), func.min(frames.c.received_at))
            .where(frames.c.status == Status.RECEIVED)
            .group_by(frames.c.family, frames.c.priority)
        ).all()
    return [Waiting(row[0], Priority(row[1]), row[2], row[3]) for row in rows]


def due(
    db: Database, family: str, priority: Priority, now: datetime, published_before: datetime, limit: int
) -> list[Task]:
    """Oldest waiting frames of a queue that are not on it, or were put there too long ago."""
    unpublished = leases.unpublished(frames, now)
    with db.read() as connection:
        rows = connection.execute(
            select(frames.c.id)
            .where(
                frames.c.status == Status.RECEIVED,
                frames.c.family == family,
                frames.c.priority == priority,
                or_(unpublished, frames.c.published_at < published_before),
            )
            .order_by(frames.c.id)
            .limit(limit)
        ).scalars()
        return [Task(frame_id, family, priority) for frame_id in rows]
