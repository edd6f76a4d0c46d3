"""The frames of reprocessing jobs: who works on which, and what is found.

They keep their state and are served with their old results until the new ones are there. Claims,
attempts and what waits to be published are kept as with frames, under the same rules (`leases`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select, update

from observatory.storage import enhancements, leases, results, skies
from observatory.storage.reprocess_jobs import ACTIVE, ItemStatus
from observatory.storage.results import NewRun
from observatory.storage.schema import frames, reprocess_frames, reprocess_jobs
from observatory.storage.session import Database
from observatory.storage.texts import plain_text, text_path


@dataclass(frozen=True)
class Item:
    """What is put on the queue: a frame of a job."""

    job_id: int
    frame_id: int


@dataclass(frozen=True)
class ClaimedItem:
    """A frame of a job that one worker alone works on now."""

    job_id: int
    frame_id: int
    model: str | None
    attempts: int
    worker: str
    claimed_at: datetime
    sha256: str
    frame_index: int
    instrument: str
    family: str
    path: Path
    file_name: str


def _is_active() -> ColumnElement[bool]:
    jobs = select(reprocess_jobs.c.id).where(reprocess_jobs.c.status.in_(ACTIVE))
    return reprocess_frames.c.job_id.in_(jobs)


_OF_FRAME = ("sha256", "frame_index", "instrument", "family", "path", "file_name")


def claim(db: Database, item: Item, worker: str, now: datetime) -> ClaimedItem | None:
    """Take a frame of a job that waits; None when another has it, it is finished, or the job has ended.

    One UPDATE decides, as with frames.
    """
    with db.write() as connection:
        row = connection.execute(
            update(reprocess_frames)
            .where(_is(item), reprocess_frames.c.status == ItemStatus.WAITING, _is_active())
            .values(
                status=ItemStatus.WORKING,
                claimed_by=worker,
                claimed_at=now,
                attempts=reprocess_frames.c.attempts + 1,
            )
            .returning(reprocess_frames.c.attempts)
        ).one_or_none()
        if row is None:
            return None
        facts = connection.execute(
            select(reprocess_jobs.c.model, *(frames.c[name] for name in _OF_FRAME))
            .select_from(frames)
            .join(reprocess_jobs, reprocess_jobs.c.id == item.job_id)
            .where(frames.c.id == item.frame_id)
        ).one()
    return ClaimedItem(
        job_id=item.job_id,
        frame_id=item.frame_id,
        model=facts.model,
        attempts=row.attempts,
        worker=worker,
        claimed_at=now,
        sha256=facts.sha256,
        frame_index=facts.frame_index,
        instrument=facts.instrument,
        family=facts.family,
        path=text_path(facts.path),
        file_name=facts.file_name,
    )


def _is(item: Item | ClaimedItem) -> ColumnElement[bool]:
    return and_(reprocess_frames.c.job_id == item.job_id, reprocess_frames.c.frame_id == item.frame_id)


def _held(claimed: ClaimedItem) -> ColumnElement[bool]:
    """Whether this very claim still holds."""
    return and_(_is(claimed), leases.held(reprocess_frames, claimed, ItemStatus.WORKING))


def finish(db: Database, claimed: ClaimedItem, run: NewRun) -> bool:
    """End a frame of a job with everything found, or change nothing when the claim was lost meanwhile."""
    with db.write() as connection:
        ended = connection.execute(
            update(reprocess_frames)
            .where(_held(claimed))
            .values(status=ItemStatus.DONE, claimed_by=None, reason=None)
        )
        if not ended.rowcount:
            return False
        results.finish_again(db, connection, claimed.frame_id, run)
    return True


def refuse(db: Database, claimed: ClaimedItem, reason: str) -> None:
    """End a frame of a job as failed, with its reason; its old result stays."""
    with db.write() as connection:
        connection.execute(
            update(reprocess_frames).where(_held(claimed)).values(_failure(plain_text(reason[:2000])))
        )


def _failure(reason: str) -> dict[str, Any]:
    return {"status": ItemStatus.FAILED, "claimed_by": None, "reason": reason}


def give_back(db: Database, claimed: ClaimedItem, retry_at: datetime, *, is_counted: bool) -> None:
    """Let a frame of a job wait again after a failure; ``is_counted`` as with frames."""
    again = leases.waits_again(reprocess_frames, ItemStatus.WAITING, retry_at, is_counted=is_counted)
    with db.write() as connection:
        connection.execute(update(reprocess_frames).where(_held(claimed)).values(again))


def release_abandoned(db: Database, now: datetime, lease_s: float, max_attempts: int) -> int:
    """Take frames of jobs back from workers that fell silent; return how many wait again."""
    abandoned = leases.abandoned(reprocess_frames, ItemStatus.WORKING, now, lease_s)
    failed = _failure(f"the worker died {max_attempts} times on this frame: look at its log")
    with db.write() as connection:
        return leases.release(
            connection, reprocess_frames, abandoned, ItemStatus.WAITING, failed, max_attempts
        )


@dataclass(frozen=True)
class Window:
    """The first frames that wait, as far as they are looked at: those on the queue and those to come.

    Attributes
    ----------
    published : tuple of (Item, datetime)
        Put on the queue, and when.
    due : tuple of Item
        On no queue, and may be put there.
    """

    published: tuple[tuple[Item, datetime], ...]
    due: tuple[Item, ...]


def window(db: Database, now: datetime, limit: int) -> Window:
    """The first ``limit`` frames that wait, the oldest job's first."""
    jobs = (
        select(reprocess_jobs.c.id).where(reprocess_jobs.c.status.in_(ACTIVE)).order_by(reprocess_jobs.c.id)
    )
    published: list[tuple[Item, datetime]] = []
    due: list[Item] = []
    with db.read() as connection:
        for job_id in connection.execute(jobs).scalars().all():
            left = limit - len(published) - len(due)
            if left <= 0:
                break
            # Job by job, so that an index has them in their order however many wait.
            is_due = leases.unpublished(reprocess_frames, now)
            query = (
                select(reprocess_frames.c.frame_id, reprocess_frames.c.published_at, is_due.label("is_due"))
                .where(
                    reprocess_frames.c.status == ItemStatus.WAITING,
                    reprocess_frames.c.job_id == job_id,
                    or_(reprocess_frames.c.published_at.is_not(None), is_due),
                )
                .order_by(reprocess_frames.c.frame_id)
                .limit(left)
            )
            for row in connection.execute(query):
                item = Item(job_id, row.frame_id)
                if row.is_due:
                    due.append(item)
                else:
                    published.append((item, row.published_at))
    return Window(tuple(published), tuple(due))


def mark_published(db: Database, items: Sequence[Item], at: datetime | None) -> None:
    """Note when frames of jobs were put on the queue; None: they are on none any more."""
    by_job: dict[int, list[int]] = {}
    for item in items:
        by_job.setdefault(item.job_id, []).append(item.frame_id)
    with db.write() as connection:
        for job_id, frame_ids in sorted(by_job.items()):
            connection.execute(
                update(reprocess_frames)
                .where(
                    reprocess_frames.c.job_id == job_id,
                    reprocess_frames.c.frame_id.in_(frame_ids),
                    reprocess_frames.c.status == ItemStatus.WAITING,
                )
                .values(published_at=at)
            )


def only(run: NewRun, model: str | None) -> NewRun:
    """What one model said in a run; all of it where none is named."""
    if model is None:
        return run
    made = [item for item in run.made if item.model.name == model]
    is_judged = run.quality is not None and run.quality.model.name == model
    is_segmented = any(item.analysis.startswith("segmentation") for item in made)
    sky = run.sky if run.sky is not None and run.sky.sky.model.name == model else None
    felt = run.disturbance
    follow = {kind: enhancements.is_told(made) for kind in enhancements.PICTURES}
    follow |= dict.fromkeys(skies.PICTURES, sky is not None)
    return replace(
        run,
        made=made,
        quality=run.quality if is_judged else None,
        pictures=[item for item in run.pictures if follow.get(item.kind, is_judged)],
        sky=sky,
        disturbance=felt if felt is not None and felt.model.name == model else None,
        segmentations=run.segmentations if is_segmented else (),
        looked_for=run.looked_for if is_segmented else (),
    )
