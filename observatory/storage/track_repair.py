"""Tracks when a frame's run is replaced: what it alone had seen, split, merged or brought back is undone."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from observatory.analysis import EventType
from observatory.storage.schema import regions, track_events, tracks

APART: dict[str, Any] = {"merged_into_id": None, "merged_at": None}
"""Values of a track that is merged into none."""


def take_back_merges(connection: Connection, frame_id: int, event_type: EventType) -> None:
    """Forget the merges and returns that a former run saw in a frame: their tracks are as before it.

    Before the frame is tracked anew, which then sees them again, or does not.
    """
    gone = connection.execute(
        delete(track_events)
        .where(
            track_events.c.frame_id == frame_id,
            track_events.c.kind.in_(("merge", "return")),
            track_events.c.track_id.in_(select(tracks.c.id).where(tracks.c.event_type == event_type)),
        )
        .returning(track_events.c.track_id)
    ).scalars()
    for track_id in set(gone):
        last = connection.execute(
            select(track_events.c.kind, track_events.c.other_id, track_events.c.moment)
            .where(track_events.c.track_id == track_id, track_events.c.kind.in_(("merge", "return")))
            .order_by(track_events.c.moment.desc(), track_events.c.id.desc())
            .limit(1)
        ).one_or_none()
        into: dict[str, Any] = APART
        if last is not None and last.kind == "merge":
            into = {"merged_into_id": last.other_id, "merged_at": last.moment}
        connection.execute(update(tracks).where(tracks.c.id == track_id).values(into))


def take_back_splits(connection: Connection, frame_id: int, unseen: Collection[int]) -> None:
    """Forget that tracks split off in a frame in which they are not seen any more."""
    if not unseen:
        return
    gone = connection.execute(
        delete(track_events)
        .where(
            track_events.c.frame_id == frame_id,
            track_events.c.kind == "split",
            track_events.c.track_id.in_(list(unseen)),
        )
        .returning(track_events.c.track_id)
    ).scalars()
    connection.execute(update(tracks).where(tracks.c.id.in_(list(gone))).values(parent_id=None))


def mend_tracks(connection: Connection, former: Iterable[int]) -> None:
    """Count the sightings of tracks anew; those without any are no tracks."""
    for track_id in former:
        seen = connection.execute(
            select(
                func.min(regions.c.moment),
                func.max(regions.c.moment),
                func.count(func.distinct(regions.c.frame_id)),
            ).where(regions.c.track_id == track_id)
        ).one()
        if seen[2]:
            values = {"first_seen": seen[0], "last_seen": seen[1], "sightings": seen[2]}
            connection.execute(update(tracks).where(tracks.c.id == track_id).values(values))
            continue
        connection.execute(delete(track_events).where(track_events.c.other_id == track_id))
        connection.execute(update(tracks).where(tracks.c.merged_into_id == track_id).values(APART))
        connection.execute(update(tracks).where(tracks.c.parent_id == track_id).values(parent_id=None))
        connection.execute(delete(tracks).where(tracks.c.id == track_id))
