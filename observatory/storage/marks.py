"""Marks: a human's word on a frame, kept beside the machine's score; results are never changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import insert, select, update

from observatory.errors import HeliowatchError
from observatory.storage import events
from observatory.storage.schema import frames, marks
from observatory.storage.session import Database
from observatory.storage.texts import plain_text

LONGEST_NOTE = 2000
_FRAME = (
    frames.c.id,
    frames.c.instrument,
    frames.c.status,
    frames.c.file_name,
    frames.c.frame_index,
    frames.c.date_obs,
    frames.c.reason,
    frames.c.received_at,
)


class Mark(StrEnum):
    """What a human says of a frame; `CLEAR` takes the last word back."""

    GOOD = "good"
    BAD = "bad"
    CLEAR = "clear"


class NoSuchFrameError(HeliowatchError):
    """There is no frame of that number."""

    def __init__(self, word: str) -> None:
        super().__init__(f"there is no frame {word[:100]!r}; `heliowatch query frames` lists them")


class SeveralFramesError(HeliowatchError):
    """A name does not say which frame is meant."""

    def __init__(self, word: str, ids: list[int]) -> None:
        numbers = ", ".join(str(number) for number in ids)
        super().__init__(
            f"{word[:100]!r} is the name of several frames: give the number of one ({numbers}, …)"
        )


@dataclass(frozen=True)
class Marked:
    """A mark as it was given."""

    id: int
    frame_id: int
    mark: str | None
    note: str | None
    author: str
    created_at: datetime


def put(db: Database, frame_id: int, mark: Mark, note: str | None, author: str, now: datetime) -> Marked:
    """Mark a frame: the history grows, the frame shows the newest, listeners hear of it.

    Raises
    ------
    NoSuchFrameError
    """
    word = None if mark is Mark.CLEAR else mark.value
    row: dict[str, Any] = {
        "frame_id": frame_id,
        "mark": word,
        "note": plain_text(note[:LONGEST_NOTE]) if note else None,
        "author": plain_text(author)[:128],
        "created_at": now,
    }
    with db.write() as connection:
        frame = connection.execute(
            update(frames).where(frames.c.id == frame_id).values(mark=word).returning(*_FRAME)
        ).one_or_none()
        if frame is None:
            raise NoSuchFrameError(str(frame_id))
        number = connection.execute(insert(marks).values(row).returning(marks.c.id)).scalar_one()
        told = {str(name): value for name, value in frame._asdict().items()}  # orjson takes plain words alone
        told["frame"] = told.pop("frame_index")
        told["mark"] = {name: row[name] for name in ("mark", "note", "author", "created_at")}
        events.append(db, connection, [events.NewEvent("frame", frame.instrument, frame_id, told)])
    return Marked(id=number, **row)


def of_frame(db: Database, frame_id: int, limit: int = 1000) -> list[Marked]:
    """The newest marks of a frame, newest first."""
    query = select(marks).where(marks.c.frame_id == frame_id).order_by(marks.c.id.desc()).limit(limit)
    with db.read() as connection:
        return [
            Marked(**{str(name): row[name] for name in row}) for row in connection.execute(query).mappings()
        ]


def find_frame(db: Database, word: str) -> int:
    """Number of the frame that a number, a SHA-256 or a file name means.

    Raises
    ------
    NoSuchFrameError, SeveralFramesError
    """
    which: Any = frames.c.file_name == word
    if len(word) == 64 and set(word) <= set("0123456789abcdef"):
        which = frames.c.sha256 == word
    elif word.isascii() and word.isdigit() and len(word) < 19:
        which = frames.c.id == int(word)
    with db.read() as connection:
        query = select(frames.c.id).where(which).order_by(frames.c.id.desc()).limit(4)
        ids = list(connection.execute(query).scalars())
    if not ids:
        raise NoSuchFrameError(word)
    if len(ids) > 1:
        raise SeveralFramesError(word, ids[:3])
    return ids[0]
