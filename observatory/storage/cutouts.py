"""Cut-outs that are enhanced on demand: who makes which, and what was made.

The same part of the same frame by the same networks is one cut-out, however often it is asked for. One
that was refused stays so; one that failed, or whose file is gone, is made anew when it is asked for again.
Claims, attempts and what waits to be published are kept as with frames, under the same rules (`leases`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, func, or_, select, update

from observatory.field_of_view import FieldOfView
from observatory.storage import leases
from observatory.storage.provenance import hash_of
from observatory.storage.results import NewProduct
from observatory.storage.schema import cutouts, frames, products
from observatory.storage.session import Database
from observatory.storage.texts import plain_text, text_path


class CutoutStatus(StrEnum):
    """Where a cut-out stands."""

    WAITING = "waiting"
    WORKING = "working"
    DONE = "done"
    REFUSED = "refused"
    """Its frame, or the part that was asked for, is nothing to enhance."""
    LOST = "lost"
    """The frame's file is no longer where it was."""
    FAILED = "failed"
    """All attempts ended in a defect of ours."""


UNDER_WAY = (CutoutStatus.WAITING, CutoutStatus.WORKING)
_MAY_COME_RIGHT = (CutoutStatus.LOST, CutoutStatus.FAILED)


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    Attributes
    ----------
    networks : sequence of str
        Sums of the networks that would make it: with others it is another cut-out.
    """

    frame_id: int
    field: FieldOfView
    networks: Sequence[str] = ()

    @property
    def sha256(self) -> str:
        """What the same request has again."""
        facts = {"frame": self.frame_id, "field": self.field.to_json(), "networks": sorted(self.networks)}
        return hash_of(facts)


@dataclass(frozen=True)
class ClaimedCutout:
    """A cut-out that one worker alone makes now."""

    id: int
    frame_id: int
    field: FieldOfView
    attempts: int
    worker: str
    claimed_at: datetime
    sha256: str
    frame_index: int
    instrument: str
    family: str
    path: Path
    file_name: str


def ask(
    db: Database, wanted: Wanted, author: str, now: datetime, *, most_under_way: int
) -> dict[str, Any] | None:
    """Note that a cut-out is asked for; return its row, as it stands then.

    Returns
    -------
    dict or None
        None when it would be one more than may be under way.
    """
    mine = cutouts.c.request_sha256 == wanted.sha256
    with db.write() as connection:
        found = _row(connection, mine)
        if found is not None and found["status"] not in _MAY_COME_RIGHT:
            connection.execute(update(cutouts).where(mine).values(used_at=now))
            return found
        if _under_way(connection) >= most_under_way:
            return None
        if found is not None:
            connection.execute(update(cutouts).where(mine).values(**_anew(now)))
        else:
            db.insert_new(connection, cutouts, [_new_row(wanted, author, now)])
        return _row(connection, mine)


def _anew(now: datetime) -> dict[str, Any]:
    return {
        "status": CutoutStatus.WAITING,
        "attempts": 0,
        "reason": None,
        "published_at": None,
        "retry_at": None,
        "finished_at": None,
        "created_at": now,
        "used_at": now,
    }


def _new_row(wanted: Wanted, author: str, now: datetime) -> dict[str, Any]:
    return {
        "request_sha256": wanted.sha256,
        "frame_id": wanted.frame_id,
        "field_of_view": wanted.field.to_json(),
        "author": author,
    } | _anew(now)


def _under_way(connection: Connection) -> int:
    query = select(func.count()).where(cutouts.c.status.in_(UNDER_WAY))
    return connection.execute(query).scalar_one()


def make_anew(db: Database, cutout_id: int, now: datetime) -> None:
    """Let one that is done wait again: its file was removed."""
    with db.write() as connection:
        connection.execute(
            update(cutouts)
            .where(cutouts.c.id == cutout_id, cutouts.c.status == CutoutStatus.DONE)
            .values(**_anew(now))
        )


def get(db: Database, cutout_id: int) -> dict[str, Any] | None:
    """One cut-out, whatever became of it."""
    with db.read() as connection:
        return _row(connection, cutouts.c.id == cutout_id)


def _row(connection: Connection, condition: ColumnElement[bool]) -> dict[str, Any] | None:
    row = connection.execute(select(*cutouts.c).where(condition)).mappings().one_or_none()
    return None if row is None else {str(name): value for name, value in row.items()}


_OF_FRAME = ("sha256", "frame_index", "instrument", "family", "path", "file_name")


def claim(db: Database, cutout_id: int, worker: str, now: datetime) -> ClaimedCutout | None:
    """Take a cut-out that waits; None when another has it or it is made. One UPDATE decides."""
    with db.write() as connection:
        row = connection.execute(
            update(cutouts)
            .where(cutouts.c.id == cutout_id, cutouts.c.status == CutoutStatus.WAITING)
            .values(
                status=CutoutStatus.WORKING,
                claimed_by=worker,
                claimed_at=now,
                attempts=cutouts.c.attempts + 1,
            )
            .returning(cutouts.c.frame_id, cutouts.c.field_of_view, cutouts.c.attempts)
        ).one_or_none()
        if row is None:
            return None
        query = select(*(frames.c[name] for name in _OF_FRAME)).where(frames.c.id == row.frame_id)
        facts = connection.execute(query).one()
    return ClaimedCutout(
        id=cutout_id,
        frame_id=row.frame_id,
        field=FieldOfView.from_json(row.field_of_view),
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


def _held(claimed: ClaimedCutout) -> ColumnElement[bool]:
    """Whether this very claim still holds."""
    return and_(cutouts.c.id == claimed.id, leases.held(cutouts, claimed, CutoutStatus.WORKING))


def finish(
    db: Database, claimed: ClaimedCutout, made: NewProduct, payload: Mapping[str, Any], now: datetime
) -> bool:
    """End a cut-out as done with its file, or change nothing when the claim was lost meanwhile."""
    with db.write() as connection:
        ended = connection.execute(
            update(cutouts)
            .where(_held(claimed))
            .values(
                status=CutoutStatus.DONE,
                claimed_by=None,
                reason=None,
                payload=dict(payload),
                media_type=made.media_type,
                sha256=made.file.sha256,
                path=made.file.path,
                bytes=made.file.bytes,
                finished_at=now,
            )
        )
    return bool(ended.rowcount)


def end(db: Database, claimed: ClaimedCutout, status: CutoutStatus, reason: str, now: datetime) -> None:
    """End a cut-out without a file, and say why."""
    with db.write() as connection:
        connection.execute(update(cutouts).where(_held(claimed)).values(**_ended(status, reason, now)))


def _ended(status: CutoutStatus, reason: str, now: datetime) -> dict[str, Any]:
    return {
        "status": status,
        "claimed_by": None,
        "reason": plain_text(reason[:2000]),
        "finished_at": now,
    }


def give_back(db: Database, claimed: ClaimedCutout, retry_at: datetime, *, is_counted: bool) -> None:
    """Let a cut-out wait again after a failure; ``is_counted`` as with frames."""
    with db.write() as connection:
        again = leases.waits_again(cutouts, CutoutStatus.WAITING, retry_at, is_counted=is_counted)
        connection.execute(update(cutouts).where(_held(claimed)).values(again))


def release_abandoned(db: Database, now: datetime, lease_s: float, max_attempts: int) -> int:
    """Take cut-outs back from workers that fell silent; return how many wait again."""
    abandoned = leases.abandoned(cutouts, CutoutStatus.WORKING, now, lease_s)
    reason = f"the worker died {max_attempts} times on this cut-out: look at its log"
    failed = _ended(CutoutStatus.FAILED, reason, now)
    with db.write() as connection:
        return leases.release(connection, cutouts, abandoned, CutoutStatus.WAITING, failed, max_attempts)


def count_waiting(db: Database) -> int:
    """How many wait to be claimed."""
    with db.read() as connection:
        query = select(func.count()).where(cutouts.c.status == CutoutStatus.WAITING)
        return connection.execute(query).scalar_one()


def due(db: Database, now: datetime, stale: datetime, limit: int) -> list[int]:
    """Cut-outs that wait and are to be put on the queue, the oldest first.

    Parameters
    ----------
    stale : datetime
        What was put on the queue before counts as forgotten.
    """
    with db.read() as connection:
        query = (
            select(cutouts.c.id)
            .where(
                cutouts.c.status == CutoutStatus.WAITING,
                or_(leases.unpublished(cutouts, now), cutouts.c.published_at < stale),
            )
            .order_by(cutouts.c.id)
            .limit(limit)
        )
        return list(connection.execute(query).scalars())


def mark_published(db: Database, cutout_id: int, at: datetime | None) -> None:
    """Note when a cut-out was put on the queue; None: it is on none."""
    with db.write() as connection:
        connection.execute(
            update(cutouts)
            .where(cutouts.c.id == cutout_id, cutouts.c.status == CutoutStatus.WAITING)
            .values(published_at=at)
        )


@dataclass(frozen=True)
class Removed:
    """Cut-outs that are no more.

    Attributes
    ----------
    files : tuple of str
        Paths below the product folder that nothing names any more.
    """

    count: int
    files: tuple[str, ...]


def forget(db: Database, unused_since: datetime, limit: int = 100) -> Removed | None:
    """Remove some cut-outs that nobody has asked for since a time; None when there are none.

    Whoever removes the files may take one with them that is written at this very moment: it is made once
    more when it is asked for.
    """
    with db.write() as connection:
        is_old = and_(cutouts.c.used_at < unused_since, cutouts.c.status.not_in(UNDER_WAY))
        old = select(cutouts.c.id).where(is_old).order_by(cutouts.c.used_at).limit(limit)
        gone = connection.execute(
            delete(cutouts)
            .where(cutouts.c.id.in_(old), is_old)  # once more: somebody may ask for one at this moment
            .returning(cutouts.c.frame_id, cutouts.c.sha256, cutouts.c.path)
        ).all()
        files = {row.path: row for row in gone if row.path is not None}
        unnamed = tuple(path for path, row in files.items() if not _is_named(connection, row))
    return Removed(len(gone), unnamed) if gone else None


def _is_named(connection: Connection, row: Any) -> bool:
    """Whether a file is also another cut-out's, or a product of the frame."""
    others = select(cutouts.c.id).where(cutouts.c.sha256 == row.sha256)
    shown = select(products.c.id).where(products.c.frame_id == row.frame_id, products.c.path == row.path)
    return any(connection.execute(query.limit(1)).first() is not None for query in (others, shown))
