"""Reprocessing jobs: which frames are worked on once more, and how far that is.

A job is written at once; which frames it takes is written down in pieces by whoever sweeps, so that a
job of a million frames costs its asker no more than one of ten. What becomes of each of its frames
stands in `reprocess`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, insert, literal, select, update

from observatory.storage.frame_keys import FrameFilter, conditions
from observatory.storage.frames import Status
from observatory.storage.schema import frames, reprocess_frames, reprocess_jobs
from observatory.storage.session import Database

MOST_FRAMES = 20_000_000
"""Frames in one job at most."""
_PIECE = 10_000  # frames written down in one transaction
_ENDED = (Status.DONE, Status.FAILED, Status.REJECTED)


class JobStatus(StrEnum):
    """Where a job stands."""

    SELECTING = "selecting"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


ACTIVE = (JobStatus.SELECTING, JobStatus.RUNNING)
"""What a job is until it ended."""


class ItemStatus(StrEnum):
    """Where one frame of a job stands."""

    WAITING = "waiting"
    WORKING = "working"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Job:
    """A job and how far it is.

    Attributes
    ----------
    wanted : FrameFilter
        Which frames were asked for.
    model : str or None
        Model that is run again; None: all of them.
    frames : int
        How many there are; an estimate while the job is `SELECTING`.
    counts : dict of ItemStatus to int
        Of the frames that are written down; those not yet are waiting, too.
    """

    id: int
    author: str
    wanted: FrameFilter
    model: str | None
    status: JobStatus
    frames: int
    created_at: datetime
    finished_at: datetime | None
    counts: dict[ItemStatus, int]

    @property
    def is_active(self) -> bool:
        """Whether there is anything left to do."""
        return self.status in ACTIVE

    @property
    def ended(self) -> int:
        """Frames that are finished, well or not."""
        return self.counts[ItemStatus.DONE] + self.counts[ItemStatus.FAILED]


def count(db: Database, wanted: FrameFilter, families: Sequence[str] | None = None) -> int:
    """How many frames a job would take; no more than one above `MOST_FRAMES` are counted.

    Parameters
    ----------
    families : sequence of str or None
        Kinds of frame that the model is for; None: all.
    """
    with db.read() as connection:
        return _count(connection, _taken(wanted, families))


def _count(connection: Connection, taken: list[ColumnElement[bool]]) -> int:
    found = select(frames.c.id).where(*taken).limit(MOST_FRAMES + 1).subquery()
    return int(connection.execute(select(func.count()).select_from(found)).scalar_one())


def _taken(wanted: FrameFilter, families: Sequence[str] | None) -> list[ColumnElement[bool]]:
    """Conditions for frames that can be worked on again: they ended, and are of a known kind."""
    known = frames.c.family.is_not(None) if families is None else frames.c.family.in_(families)
    return [
        *conditions(wanted),
        frames.c.status.in_(_ENDED),
        frames.c.sha256.is_not(None),
        frames.c.instrument.is_not(None),
        known,
    ]


def create(
    db: Database,
    *,
    author: str,
    wanted: FrameFilter,
    model: str | None,
    families: Sequence[str] | None,
    now: datetime,
) -> Job:
    """Write a job for the frames that there are now; those that arrive later are no part of it."""
    with db.write() as connection:
        newest = connection.execute(select(func.max(frames.c.id))).scalar() or 0
        taken = [*_taken(wanted, families), frames.c.id <= newest]
        job_id = connection.execute(
            insert(reprocess_jobs)
            .values(
                author=author,
                filters=_as_json(wanted)
                | {_NEWEST: newest, _FAMILIES: None if families is None else sorted(families)},
                model=model,
                status=JobStatus.SELECTING,
                frames=_count(connection, taken),
                created_at=now,
            )
            .returning(reprocess_jobs.c.id)
        ).scalar_one()
    job = get(db, job_id)
    assert job is not None
    return job


_NEWEST, _FAMILIES = "newest_frame", "families"


def _as_json(wanted: FrameFilter) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in vars(wanted).items()
        if value is not None
    }


def _as_filter(stored: dict[str, Any]) -> FrameFilter:
    words = {name: value for name, value in stored.items() if name not in (_NEWEST, _FAMILIES)}
    for name in ("time_from", "time_to"):
        if name in words:
            words[name] = datetime.fromisoformat(words[name])
    if "status" in words:
        words["status"] = Status(words["status"])
    return FrameFilter(**words)


def select_more(db: Database, job_id: int) -> int:
    """Write down the next piece of a job's frames; after the last one the job is running.

    Returns
    -------
    int
        How many were written down; 0 when there are no more, or the job has ended.
    """
    with db.write() as connection:
        # Locked, so that two sweepers write one piece after the other.
        job = connection.execute(
            update(reprocess_jobs)
            .where(reprocess_jobs.c.id == job_id, reprocess_jobs.c.status == JobStatus.SELECTING)
            .values(status=JobStatus.SELECTING)
            .returning(reprocess_jobs.c.filters)
        ).one_or_none()
        if job is None:
            return 0
        mine = reprocess_frames.c.job_id == job_id
        last = connection.execute(select(func.max(reprocess_frames.c.frame_id)).where(mine)).scalar() or 0
        piece = (
            select(literal(job_id), frames.c.id, literal(ItemStatus.WAITING.value), literal(0))
            .where(
                *_taken(_as_filter(job.filters), job.filters[_FAMILIES]),
                frames.c.id > last,
                frames.c.id <= job.filters[_NEWEST],
            )
            .order_by(frames.c.id)
            .limit(_PIECE)
        )
        columns = ["job_id", "frame_id", "status", "attempts"]
        statement = (
            insert(reprocess_frames).from_select(columns, piece).returning(reprocess_frames.c.frame_id)
        )
        taken = len(connection.execute(statement).all())
        if taken < _PIECE:
            total = select(func.count()).select_from(reprocess_frames).where(mine).scalar_subquery()
            connection.execute(
                update(reprocess_jobs)
                .where(reprocess_jobs.c.id == job_id)
                .values(status=JobStatus.RUNNING, frames=total)
            )
    return taken


def get(db: Database, job_id: int) -> Job | None:
    """One job with its counts; None when there is none."""
    found = _jobs(db, reprocess_jobs.c.id == job_id, limit=1)
    return found[0] if found else None


def newest(db: Database, limit: int) -> list[Job]:
    """The newest jobs first."""
    return _jobs(db, literal(True), limit=limit)


def active(db: Database) -> list[Job]:
    """Jobs that have not ended, without their counts, the oldest first."""
    return _jobs(db, reprocess_jobs.c.status.in_(ACTIVE), limit=1000, is_counted=False)[::-1]


def same_as(db: Database, wanted: FrameFilter, model: str | None) -> Job | None:
    """The job that asked for the same and has not ended, if there is one."""
    for job in reversed(active(db)):
        if (job.wanted, job.model) == (wanted, model):
            return get(db, job.id)
    return None


def _jobs(db: Database, condition: ColumnElement[bool], *, limit: int, is_counted: bool = True) -> list[Job]:
    query = select(*reprocess_jobs.c).where(condition).order_by(reprocess_jobs.c.id.desc()).limit(limit)
    with db.read() as connection:
        rows = connection.execute(query).all()
        counts = _item_counts(connection, [row.id for row in rows]) if is_counted else {}
    return [_job(row, counts.get(row.id, {})) for row in rows]


def _item_counts(connection: Connection, job_ids: list[int]) -> dict[int, dict[ItemStatus, int]]:
    found: dict[int, dict[ItemStatus, int]] = {}
    if not job_ids:
        return found
    columns = reprocess_frames.c.job_id, reprocess_frames.c.status
    query = select(*columns, func.count()).where(
        reprocess_frames.c.status.in_(list(ItemStatus)), reprocess_frames.c.job_id.in_(job_ids)
    )
    for job_id, status, number in connection.execute(query.group_by(*columns)):
        found.setdefault(job_id, {})[ItemStatus(status)] = number
    return found


def _job(row: Row[Any], counts: dict[ItemStatus, int]) -> Job:
    return Job(
        id=row.id,
        author=row.author,
        wanted=_as_filter(row.filters),
        model=row.model,
        status=JobStatus(row.status),
        frames=row.frames,
        created_at=row.created_at,
        finished_at=row.finished_at,
        counts=dict.fromkeys(ItemStatus, 0) | counts,
    )


def failures(db: Database, job_id: int, limit: int) -> list[dict[str, Any]]:
    """Frames of a job that could not be worked on again, each with its reason."""
    query = (
        select(reprocess_frames.c.frame_id, reprocess_frames.c.reason)
        .where(reprocess_frames.c.status == ItemStatus.FAILED, reprocess_frames.c.job_id == job_id)
        .order_by(reprocess_frames.c.frame_id)
        .limit(limit)
    )
    with db.read() as connection:
        return [{"frame_id": row.frame_id, "reason": row.reason} for row in connection.execute(query)]


def cancel(db: Database, job_id: int, now: datetime) -> Job | None:
    """End a job; frames that are worked on are finished, the others left alone. None: there is none."""
    with db.write() as connection:
        connection.execute(
            update(reprocess_jobs)
            .where(reprocess_jobs.c.id == job_id, reprocess_jobs.c.status.in_(ACTIVE))
            .values(status=JobStatus.CANCELLED, finished_at=now)
        )
    return get(db, job_id)


def close_finished(db: Database, now: datetime) -> int:
    """End the jobs of which nothing is left; return how many."""
    running = [job.id for job in active(db) if job.status is JobStatus.RUNNING]
    if not running:
        return 0
    with db.write() as connection:
        ended = [job_id for job_id in running if not _is_anything_left(connection, job_id)]
        done = connection.execute(
            update(reprocess_jobs)
            .where(reprocess_jobs.c.id.in_(ended), reprocess_jobs.c.status == JobStatus.RUNNING)
            .values(status=JobStatus.DONE, finished_at=now)
        )
    return done.rowcount


def _is_anything_left(connection: Connection, job_id: int) -> bool:
    """Whether a frame of a job waits or is worked on; status by status, as the index has them."""
    for status in (ItemStatus.WAITING, ItemStatus.WORKING):
        query = (
            select(literal(1))
            .where(reprocess_frames.c.status == status, reprocess_frames.c.job_id == job_id)
            .limit(1)
        )
        if connection.execute(query).first() is not None:
            return True
    return False
