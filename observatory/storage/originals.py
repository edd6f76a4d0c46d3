"""Where a frame's own bytes lie: every place they were seen in, and what the file looked like there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from observatory.storage.schema import arrivals, frames
from observatory.storage.session import Database
from observatory.storage.texts import text_path

_PLACES = 16  # a frozen camera writes the same bytes under thousands of names


@dataclass(frozen=True)
class Place:
    """A path under which the bytes were seen, with the file's length and time of last change then."""

    path: Path
    bytes: int
    mtime_ns: int | None


@dataclass(frozen=True)
class Original:
    """The file that a frame came in.

    Attributes
    ----------
    sha256 : str or None
        Of its bytes; None when they could never be read.
    places : tuple of Place
        Newest first, a few at most.
    """

    sha256: str | None
    file_name: str
    bytes: int
    places: tuple[Place, ...]


def original(db: Database, frame_id: int) -> Original | None:
    """The file of a frame; None when there is no such frame."""
    with db.read() as connection:
        frame = connection.execute(
            select(frames.c.sha256, frames.c.file_name, frames.c.bytes, frames.c.path).where(
                frames.c.id == frame_id
            )
        ).one_or_none()
        if frame is None:
            return None
        seen = connection.execute(
            select(arrivals.c.path, arrivals.c.bytes, arrivals.c.mtime_ns)
            .where(arrivals.c.sha256 == frame.sha256)
            .order_by(arrivals.c.id.desc())
            .limit(_PLACES)
        ).all()
    places = [Place(text_path(row.path), row.bytes, row.mtime_ns) for row in seen]
    if not any(place.path == text_path(frame.path) for place in places):
        places.append(Place(text_path(frame.path), frame.bytes, None))
    return Original(frame.sha256, frame.file_name, frame.bytes, tuple(places))
