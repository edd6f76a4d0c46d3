"""Composites: who makes the picture of a set of frames, and what was made.

How sets are formed stands in `pairing`; its names are given on here, so that users need this module alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, delete, insert, literal, select, update

from observatory.storage import events, leases
from observatory.storage.column_types import UtcDateTime
from observatory.storage.frame_keys import Page
from observatory.storage.pairing import Arrange, Member, SetStatus, join, overdue
from observatory.storage.results import NewProduct
from observatory.storage.schema import (
    composite_frames,
    composite_pictures,
    composites,
    frames,
)
from observatory.storage.session import Database
from observatory.storage.texts import plain_text, text_path


@dataclass(frozen=True)
class SetFrame:
    """A frame of a set, with what is needed to read it."""

    frame_id: int
    channel: str
    sha256: str
    frame_index: int
    instrument: str
    path: Path
    file_name: str
    date_obs: datetime
    quality_score: float | None
    is_degraded: bool | None


@dataclass(frozen=True)
class ClaimedSet:
    """A set whose picture one task alone makes now.

    Attributes
    ----------
    worker : str
        Process that makes it.
    claimed_at : datetime
        With the worker's name it tells this claim from any other: threads of one process share
        their name, and the second of two may claim a set that was taken from the first.
    """

    id: int
    look: str
    date_obs: datetime
    is_complete: bool
    attempts: int
    frames: tuple[SetFrame, ...]
    worker: str
    claimed_at: datetime


def waiting(db: Database, now: datetime, *, limit: int = 50) -> list[int]:
    """Sets that wait to be made, the oldest first: their task was lost, or their time has come again."""
    with db.read() as connection:
        return list(
            connection.execute(
                select(composites.c.id)
                .where(
                    composites.c.status == SetStatus.WAITING,
                    leases.may_be_tried(composites, now),
                )
                .order_by(composites.c.id)
                .limit(limit)
            ).scalars()
        )


def claim(db: Database, set_id: int, worker: str, now: datetime) -> ClaimedSet | None:
    """Take a set that waits; None when another has it or it is made. One UPDATE decides."""
    with db.write() as connection:
        row = connection.execute(
            update(composites)
            .where(composites.c.id == set_id, composites.c.status == SetStatus.WAITING)
            .values(
                status=SetStatus.COMPOSING,
                claimed_by=worker,
                claimed_at=now,
                attempts=composites.c.attempts + 1,
            )
            .returning(
                composites.c.id,
                composites.c.look,
                composites.c.date_obs,
                composites.c.is_complete,
                composites.c.attempts,
            )
        ).one_or_none()
        if row is None:
            return None
        members = connection.execute(
            select(composite_frames.c.channel, *frames.c)
            .join(frames, frames.c.id == composite_frames.c.frame_id)
            .where(composite_frames.c.composite_id == set_id)
            .order_by(composite_frames.c.channel)
        ).all()
    return ClaimedSet(
        id=row.id,
        look=row.look,
        date_obs=row.date_obs,
        is_complete=row.is_complete,
        attempts=row.attempts,
        frames=tuple(_set_frame(member) for member in members),
        worker=worker,
        claimed_at=now,
    )


def _set_frame(row: Any) -> SetFrame:
    return SetFrame(
        frame_id=row.id,
        channel=row.channel,
        sha256=row.sha256,
        frame_index=row.frame_index,
        instrument=row.instrument,
        path=text_path(row.path),
        file_name=row.file_name,
        date_obs=row.date_obs,
        quality_score=row.quality_score,
        is_degraded=row.is_degraded,
    )


def _held(claimed: ClaimedSet) -> ColumnElement[bool]:
    """Whether this very claim still holds."""
    return and_(composites.c.id == claimed.id, leases.held(composites, claimed, SetStatus.COMPOSING))


def finish(
    db: Database,
    claimed: ClaimedSet,
    *,
    frame_ids: Sequence[int],
    pictures: Sequence[NewProduct],
    payload: Mapping[str, Any],
    now: datetime,
) -> bool:
    """End a set as done with its pictures, which replace those made before, or change nothing.

    Returns False when the claim was lost meanwhile: the sweeper gave the set to another worker, or
    the channel that was missing came and the set waits to be made anew.

    Parameters
    ----------
    frame_ids : Sequence of int
        Frames that the pictures show; kept in the payload.
    """
    with db.write() as connection:
        row = connection.execute(
            update(composites)
            .where(_held(claimed))
            .values(
                status=SetStatus.DONE,
                claimed_by=None,
                reason=None,
                retry_at=None,
                revision=composites.c.revision + 1,
                payload={**payload, "frame_ids": list(frame_ids)},
                made_at=now,
            )
            .returning(
                composites.c.id,
                composites.c.look,
                composites.c.date_obs,
                composites.c.is_complete,
                composites.c.revision,
            )
        ).one_or_none()
        if row is None:
            return False
        connection.execute(delete(composite_pictures).where(composite_pictures.c.composite_id == claimed.id))
        if pictures:
            connection.execute(
                insert(composite_pictures), [_picture_row(claimed.id, item, now) for item in pictures]
            )
        is_complete = row.is_complete and {item.frame_id for item in claimed.frames} <= set(frame_ids)
        facts = {"composite": _plain(row._mapping) | {"is_complete": is_complete}}
        events.append(db, connection, [events.NewEvent("result", None, None, facts)])
    return True


def _picture_row(set_id: int, item: NewProduct, now: datetime) -> dict[str, Any]:
    return {
        "composite_id": set_id,
        "kind": item.kind,
        "media_type": item.media_type,
        "sha256": item.file.sha256,
        "path": item.file.path,
        "bytes": item.file.bytes,
        "width": item.width,
        "height": item.height,
        "created_at": now,
    }


def refuse(db: Database, claimed: ClaimedSet, reason: str, now: datetime) -> None:
    """End a set as failed, with the reason; one that was made before keeps its pictures and is done."""
    with db.write() as connection:
        connection.execute(update(composites).where(_held(claimed)).values(_failure(reason, now)))


_HAS_PICTURE = composites.c.revision > 0


def _failure(reason: str, now: datetime) -> dict[str, Any]:
    return {
        "status": case((_HAS_PICTURE, SetStatus.DONE.value), else_=SetStatus.FAILED.value),
        "made_at": case((_HAS_PICTURE, composites.c.made_at), else_=literal(now, UtcDateTime())),
        "claimed_by": None,
        "reason": plain_text(reason[:2000]),
    }


def give_back(db: Database, claimed: ClaimedSet, retry_at: datetime, *, is_counted: bool) -> None:
    """Let a set wait again after a failure; ``is_counted`` as with frames: a defect's try counts."""
    with db.write() as connection:
        connection.execute(
            update(composites)
            .where(_held(claimed))
            .values(
                status=SetStatus.WAITING,
                claimed_by=None,
                retry_at=retry_at,
                attempts=composites.c.attempts if is_counted else composites.c.attempts - 1,
            )
        )


def release_abandoned(db: Database, now: datetime, lease_s: float, max_attempts: int) -> int:
    """Take sets back from workers that fell silent; return how many wait again."""
    abandoned = leases.abandoned(composites, SetStatus.COMPOSING, now, lease_s)
    with db.write() as connection:
        reason = f"the worker died {max_attempts} times on this set: look at its log"
        connection.execute(
            update(composites)
            .where(abandoned, composites.c.attempts >= max_attempts)
            .values(_failure(reason, now))
        )
        done = connection.execute(
            update(composites).where(abandoned).values(status=SetStatus.WAITING, claimed_by=None)
        )
    return done.rowcount


def find(
    db: Database,
    look: str | None,
    time_from: datetime | None,
    time_to: datetime | None,
    *,
    limit: int,
    after: tuple[datetime, int] | None = None,
    is_ascending: bool = False,
) -> list[dict[str, Any]]:
    """Composites that are made, in order of (`date_obs`, id), each with its frames and pictures.

    One that is being made anew is among them, with what was made before; so is one whose making anew
    failed. `is_complete` says whether the pictures show every channel.

    Parameters
    ----------
    after : tuple of (datetime, int) or None
        Sort key of the last row of the page before: keyset paging.
    """
    moment, number = composites.c.date_obs, composites.c.id
    query = select(*composites.c).where(_HAS_PICTURE)
    if look is not None:
        query = query.where(composites.c.look == look)
    if time_from is not None:
        query = query.where(moment >= time_from)
    if time_to is not None:
        query = query.where(moment < time_to)
    query = Page(limit, after, is_ascending).of(query, moment, number)
    with db.read() as connection:
        rows = connection.execute(query).mappings()
        return _with_parts(connection, [_plain(row) for row in rows])


def get(db: Database, set_id: int) -> dict[str, Any] | None:
    """One set, whatever became of it, with its frames and pictures."""
    with db.read() as connection:
        row = (
            connection.execute(select(*composites.c).where(composites.c.id == set_id))
            .mappings()
            .one_or_none()
        )
        return None if row is None else _with_parts(connection, [_plain(row)])[0]


def picture(db: Database, picture_id: int) -> dict[str, Any] | None:
    """One picture of a composite."""
    with db.read() as connection:
        query = select(*composite_pictures.c).where(composite_pictures.c.id == picture_id)
        row = connection.execute(query).mappings().one_or_none()
        return None if row is None else _plain(row)


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}  # the driver's names are no plain str


def _with_parts(connection: Connection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    by_id: dict[int, dict[str, Any]] = {row["id"]: row | {"frames": [], "pictures": []} for row in rows}
    if not by_id:
        return []
    members = connection.execute(
        select(
            composite_frames.c.composite_id,
            composite_frames.c.channel,
            composite_frames.c.frame_id,
            frames.c.instrument,
            frames.c.date_obs,
            frames.c.is_degraded,
            frames.c.quality_score,
            frames.c.sha256,
            frames.c.frame_index,
            frames.c.file_name,
        )
        .join(frames, frames.c.id == composite_frames.c.frame_id)
        .where(composite_frames.c.composite_id.in_(by_id))
        .order_by(composite_frames.c.channel)
    ).mappings()
    for member in members:
        facts = _plain(member)
        by_id[facts.pop("composite_id")]["frames"].append(facts)
    shown = connection.execute(
        select(*composite_pictures.c)
        .where(composite_pictures.c.composite_id.in_(by_id))
        .order_by(composite_pictures.c.id)
    ).mappings()
    for item in shown:
        by_id[item["composite_id"]]["pictures"].append(_plain(item))
    for row in by_id.values():
        if row["revision"]:
            shows = set(row["payload"]["frame_ids"])
            row["is_complete"] = row["is_complete"] and shows >= {item["frame_id"] for item in row["frames"]}
    return list(by_id.values())


__all__ = [
    "Arrange",
    "ClaimedSet",
    "Member",
    "SetFrame",
    "SetStatus",
    "claim",
    "find",
    "finish",
    "get",
    "give_back",
    "join",
    "overdue",
    "picture",
    "refuse",
    "release_abandoned",
    "waiting",
]
