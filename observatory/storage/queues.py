"""What waits on the queues, as the database knows it: a broker may have forgotten some of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from observatory.storage import frames
from observatory.storage.composites import SetStatus
from observatory.storage.cutouts import CutoutStatus
from observatory.storage.night_schema import night_works
from observatory.storage.nights import WorkStatus
from observatory.storage.reprocess_jobs import ACTIVE, ItemStatus
from observatory.storage.schema import composites, cutouts, reprocess_frames, reprocess_jobs
from observatory.storage.session import Database

COMPOSITES = "composites"
NIGHTS = "nights"
CUTOUTS = "cutouts"
REPROCESSING = "reprocessing"


@dataclass(frozen=True)
class Backlog:
    """What waits on one queue.

    Attributes
    ----------
    family, priority : str or None
        Of a queue of frames; None for composites, nights, cut-outs and what is done again.
    oldest : datetime or None
        Since when the oldest of them waits; None when nothing does.
    """

    queue: str
    waiting: int
    oldest: datetime | None
    family: str | None = None
    priority: str | None = None

    def age_s(self, now: datetime) -> float:
        """Seconds that the oldest of them has waited; 0 when nothing does."""
        return 0.0 if self.oldest is None else max(0.0, (now - self.oldest).total_seconds())


def of_frames(db: Database) -> list[Backlog]:
    """Queues on which frames wait."""
    return [
        Backlog(f"{item.family}.{item.priority}", item.count, item.oldest, item.family, item.priority)
        for item in frames.waiting(db)
    ]


def of_composites(db: Database) -> Backlog:
    """Sets that wait to be made, or to be made anew."""
    since = func.min(
        func.coalesce(composites.c.made_at, composites.c.created_at), type_=composites.c.made_at.type
    )
    with db.read() as connection:
        row = connection.execute(
            select(func.count(), since).where(composites.c.status == SetStatus.WAITING)
        ).one()
    return Backlog(COMPOSITES, row[0], row[1])


def of_nights(db: Database, now: datetime) -> Backlog:
    """Pictures and films of nights that are due and not made, each since it was due."""
    of = night_works.c
    waits = (of.status == WorkStatus.WAITING.value, of.due_at <= now)
    with db.read() as connection:
        row = connection.execute(select(func.count(), func.min(of.due_at)).where(*waits)).one()
    return Backlog(NIGHTS, row[0], row[1])


def of_cutouts(db: Database) -> Backlog:
    """Cut-outs that wait, each since it was asked for first, or anew after it had failed."""
    with db.read() as connection:
        waits = cutouts.c.status == CutoutStatus.WAITING
        row = connection.execute(select(func.count(), func.min(cutouts.c.created_at)).where(waits)).one()
    return Backlog(CUTOUTS, row[0], row[1])


def of_reprocessing(db: Database) -> Backlog:
    """Frames of jobs that have not ended; they wait since their job was asked for.

    Counted by an index alone, but there may be a million: ask seldom.
    """
    with db.read() as connection:
        jobs = connection.execute(
            select(reprocess_jobs.c.id, reprocess_jobs.c.created_at)
            .where(reprocess_jobs.c.status.in_(ACTIVE))
            .order_by(reprocess_jobs.c.id)
        ).all()
        query = (
            select(reprocess_frames.c.job_id, func.count())
            .where(
                reprocess_frames.c.status == ItemStatus.WAITING,
                reprocess_frames.c.job_id.in_([job.id for job in jobs]),
            )
            .group_by(reprocess_frames.c.job_id)
        )
        counts = {row[0]: row[1] for row in connection.execute(query)} if jobs else {}
    oldest = min((job.created_at for job in jobs if job.id in counts), default=None)
    return Backlog(REPROCESSING, sum(counts.values()), oldest)
