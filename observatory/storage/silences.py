"""Silences: spans of time in which alerts with certain labels are not told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from sqlalchemy import Connection, insert, select, update

from observatory.errors import HeliowatchError
from observatory.storage import events
from observatory.storage.notification_schema import notifications, silences
from observatory.storage.notifications import State, take_turn
from observatory.storage.session import Database
from observatory.storage.texts import plain_text

LONGEST_COMMENT = 2000
LONGEST = timedelta(days=366)
MOST_MATCHERS = 20
LONGEST_GLOB = 200


class NoSuchSilenceError(HeliowatchError):
    """There is no silence of that number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"there is no silence {number}; `heliowatch alerts silence --list` shows them")


class UnusableSilenceError(HeliowatchError):
    """A silence that would silence nothing."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field
        self.why = why


@dataclass(frozen=True)
class Silence:
    """A silence.

    Attributes
    ----------
    matchers : mapping of str to str
        Label to glob (``*``, ``?``, ``[…]``, case counts); an alert is silenced when all of them fit.
    """

    id: int
    matchers: Mapping[str, str]
    starts_at: datetime
    ends_at: datetime
    comment: str | None
    author: str
    created_at: datetime

    def covers(self, labels: Mapping[str, str]) -> bool:
        """Whether an alert with such labels is silenced; a label that it lacks is empty."""
        return all(fnmatchcase(str(labels.get(name, "")), glob) for name, glob in self.matchers.items())

    def state(self, now: datetime) -> str:
        """Pending, active or expired."""
        if now < self.starts_at:
            return "pending"
        return "active" if now < self.ends_at else "expired"


def create(
    db: Database,
    matchers: Mapping[str, str],
    starts_at: datetime,
    ends_at: datetime,
    comment: str | None,
    author: str,
    now: datetime,
) -> Silence:
    """Begin a silence, now or later.

    Raises
    ------
    UnusableSilenceError
        When it lies in the past, ends before it begins, lasts too long, or says of nothing what it silences.
    """
    _check(matchers, starts_at, ends_at, now)
    row: dict[str, Any] = {
        "matchers": {plain_text(name): plain_text(glob) for name, glob in matchers.items()},
        "starts_at": starts_at,
        "ends_at": ends_at,
        "comment": plain_text(comment)[:LONGEST_COMMENT] if comment else None,
        "author": plain_text(author)[:128],
        "created_at": now,
    }
    with db.write() as connection:
        number = connection.execute(insert(silences).values(row).returning(silences.c.id)).scalar_one()
        made = Silence(id=number, **row)
        events.append(db, connection, [_event(made, now)])
    return made


def _check(matchers: Mapping[str, str], starts_at: datetime, ends_at: datetime, now: datetime) -> None:
    if not matchers:
        raise UnusableSilenceError("matchers", "name at least one label, such as alertname or instrument")
    if len(matchers) > MOST_MATCHERS:
        raise UnusableSilenceError("matchers", f"no more than {MOST_MATCHERS} labels")
    for name, glob in matchers.items():
        if not 0 < len(name) <= 64 or not 0 < len(glob) <= LONGEST_GLOB:
            raise UnusableSilenceError(
                "matchers", f"a label has 1 to 64 letters, its glob 1 to {LONGEST_GLOB}"
            )
    if ends_at <= starts_at:
        raise UnusableSilenceError("ends_at", "must lie after starts_at")
    if ends_at <= now:
        raise UnusableSilenceError("ends_at", "lies in the past: a silence works from now on")
    if ends_at - max(starts_at, now) > LONGEST:
        raise UnusableSilenceError("ends_at", f"a silence lasts {LONGEST.days} days at most")


def expire(db: Database, number: int, now: datetime) -> Silence:
    """End a silence now; what waited for its end is told at once. One that ended stays as it is.

    Raises
    ------
    NoSuchSilenceError
    """
    with db.write() as connection:
        take_turn(connection)
        found = connection.execute(select(silences).where(silences.c.id == number)).mappings().one_or_none()
        if found is None:
            raise NoSuchSilenceError(number)
        silence = _silence(found)
        if silence.ends_at <= now:
            return silence
        values = {"ends_at": now, "starts_at": min(silence.starts_at, now)}
        connection.execute(update(silences).where(silences.c.id == number).values(values))
        connection.execute(
            update(notifications)
            .where(
                notifications.c.silence_id == number,
                notifications.c.state == State.WAITING.value,
                notifications.c.attempts == 0,
            )
            .values(due_at=now)
        )
        ended = Silence(**{**vars(silence), **values})
        events.append(db, connection, [_event(ended, now)])
    return ended


def listed(
    db: Database, *, limit: int, before: int | None = None, with_expired: bool = True, now: datetime
) -> list[Silence]:
    """Silences, newest first, older than number ``before``."""
    query = select(silences).order_by(silences.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(silences.c.id < before)
    if not with_expired:
        query = query.where(silences.c.ends_at > now)
    with db.read() as connection:
        return [_silence(row) for row in connection.execute(query).mappings()]


def active(connection: Connection, now: datetime) -> list[Silence]:
    """Those that hold now, the last to end first."""
    query = (
        select(silences)
        .where(silences.c.starts_at <= now, silences.c.ends_at > now)
        .order_by(silences.c.ends_at.desc(), silences.c.id)
    )
    return [_silence(row) for row in connection.execute(query).mappings()]


def covering(found: Sequence[Silence], labels: Mapping[str, str]) -> Silence | None:
    """The silence that holds an alert back longest, if any does."""
    return next((silence for silence in found if silence.covers(labels)), None)


def _silence(row: Mapping[Any, Any]) -> Silence:
    return Silence(**{str(name): value for name, value in row.items()})


def _event(silence: Silence, now: datetime) -> events.NewEvent:
    told = {**vars(silence), "matchers": dict(silence.matchers), "state": silence.state(now)}
    return events.NewEvent("alert", None, None, {"silence": told})
