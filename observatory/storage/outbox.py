"""Sending what is to be told: who sends which notification now, and what became of it.

One process at a time has a notification: it claims it for a while and renews the claim as long as it
sends; a claim that is not renewed (kill -9) is taken over. So a message goes out twice only where its
process died between sending and noting it, and then under the same key with the same words: what is told
is written down before it is first sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    case,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from observatory.storage import notification_content as content
from observatory.storage.alert_schema import alerts
from observatory.storage.notification_schema import notification_alerts as members
from observatory.storage.notification_schema import notification_tallies, notifications
from observatory.storage.notifications import (
    Kind,
    Member,
    State,
    already,
    member_row,
    new_row,
    take_turn,
)
from observatory.storage.session import Database

_CLOCK_SLACK = timedelta(minutes=1)
_LONGEST_REASON = 500
_ENDED = (State.SENT.value, State.FAILED.value, State.SILENCED.value, State.CANCELLED.value)
_earlier = notifications.alias("earlier")


@dataclass(frozen=True)
class Claimed:
    """A notification that this process is to send now.

    Attributes
    ----------
    alerts : sequence of mapping
        Each with ``alert_id``, ``kind``, ``status`` (firing, resolved), ``rule``, ``alert_key``, ``labels``,
        ``annotations``, ``starts_at``, ``ends_at`` (ISO 8601; null while it fires).
    attempt : int
        1 for the first.
    """

    id: int
    key: str
    channel: str
    group_hash: str
    group_labels: Mapping[str, str]
    alerts: Sequence[Mapping[str, Any]]
    attempt: int
    created_at: datetime


def due_channels(db: Database, now: datetime) -> set[str]:
    """Channels for which something is to be sent now."""
    with db.read() as connection:
        return set(
            connection.execute(select(notifications.c.channel).where(_is_due(now)).distinct()).scalars()
        )


def claim(db: Database, channel: str, owner: str, now: datetime, lease_s: float) -> Claimed | None:
    """Take the notification of a channel that is due longest; what nobody is to hear of any more ends here.

    Within a group the order is kept: none overtakes one that is being sent or tried again.
    """
    while True:
        with db.write() as connection:
            take_turn(connection)
            row = connection.execute(_next_of(channel, now)).mappings().one_or_none()
            if row is None:
                return None
            told = row["payload"] or content.decide(connection, row["id"], now, is_planned=row["is_planned"])
            if told is None:
                continue
            if isinstance(told, str):
                _end(connection, row["id"], State(told), now)
                count(connection, channel, told)
                continue
            connection.execute(
                update(notifications)
                .where(notifications.c.id == row["id"])
                .values(
                    state=State.SENDING.value,
                    claimed_by=owner,
                    claimed_until=now + timedelta(seconds=lease_s),
                    attempts=notifications.c.attempts + 1,
                    payload=told,
                    created_at=_since(row),
                )
            )
        return Claimed(
            id=row["id"],
            key=row["idempotency_key"],
            channel=channel,
            group_hash=row["group_hash"],
            group_labels=row["group_labels"],
            alerts=told["alerts"],
            attempt=row["attempts"] + 1,
            created_at=_since(row),
        )


def _since(row: Mapping[Any, Any]) -> datetime:
    """From when on a notification was to be sent: what was planned days ago is not late for that."""
    is_first = row["is_planned"] and row["attempts"] == 0
    return max(row["created_at"], row["due_at"]) if is_first else row["created_at"]


def _is_due(now: datetime) -> ColumnElement[bool]:
    """Whether a notification waits no longer, or was left by its process.

    A clock that was set back makes what was written before lie in the future: that waits for nothing.
    """
    is_of_later = and_(notifications.c.created_at > now + _CLOCK_SLACK, notifications.c.is_planned.is_(False))
    waits = and_(
        notifications.c.state == State.WAITING.value, or_(notifications.c.due_at <= now, is_of_later)
    )
    return or_(waits, and_(notifications.c.state == State.SENDING.value, _is_left(now)))


def _is_left(now: datetime) -> ColumnElement[bool]:
    far = now + timedelta(hours=0.5)  # no lease is as long: the clock was set back
    return or_(notifications.c.claimed_until <= now, notifications.c.claimed_until > far)


def _next_of(channel: str, now: datetime) -> Any:
    is_behind = exists().where(
        _earlier.c.channel == notifications.c.channel,
        _earlier.c.group_hash == notifications.c.group_hash,
        _earlier.c.id < notifications.c.id,
        or_(
            _earlier.c.state == State.SENDING.value,
            and_(_earlier.c.state == State.WAITING.value, _earlier.c.attempts > 0),
        ),
    )
    return (
        select(notifications)
        .where(notifications.c.channel == channel, _is_due(now), ~is_behind)
        .order_by(notifications.c.due_at, notifications.c.id)
        .limit(1)
    )


def renew(db: Database, ids: Sequence[int], owner: str, now: datetime, lease_s: float) -> None:
    """Say that notifications are still being sent."""
    if ids:
        with db.write() as connection:
            connection.execute(
                update(notifications)
                .where(_is_mine(owner), notifications.c.id.in_(ids))
                .values(claimed_until=now + timedelta(seconds=lease_s))
            )


def _is_mine(owner: str) -> ColumnElement[bool]:
    return and_(notifications.c.state == State.SENDING.value, notifications.c.claimed_by == owner)


def note_sent(db: Database, claimed: Claimed, owner: str, now: datetime) -> bool:
    """Write down that a notification arrived, and plan its repeats; False when another process took it over."""
    with db.write() as connection:
        take_turn(connection)
        done = connection.execute(
            update(notifications)
            .where(notifications.c.id == claimed.id, _is_mine(owner))
            .values(state=State.SENT.value, finished_at=now, claimed_by=None, claimed_until=None, reason=None)
        )
        if done.rowcount:
            _plan_repeats(connection, claimed, now)
        count(connection, claimed.channel, "sent")
    return bool(done.rowcount)


def note_failed(
    db: Database, claimed: Claimed, owner: str, reason: str, now: datetime, retry_at: datetime | None
) -> None:
    """Write down why an attempt failed; ``retry_at`` None gives the notification up.

    Those of its alerts that a rule repeats are told again all the same when their time has come.
    """
    values: dict[str, Any] = {"reason": reason[:_LONGEST_REASON], "claimed_by": None, "claimed_until": None}
    if retry_at is None:
        values |= {"state": State.FAILED.value, "finished_at": now}
    else:
        values |= {"state": State.WAITING.value, "due_at": retry_at}
    with db.write() as connection:
        take_turn(connection)
        done = connection.execute(
            update(notifications).where(notifications.c.id == claimed.id, _is_mine(owner)).values(values)
        )
        if done.rowcount and retry_at is None:
            _plan_repeats(connection, claimed, now)
        count(connection, claimed.channel, "failed" if retry_at is None else "retried")


def _plan_repeats(connection: Connection, claimed: Claimed, now: datetime) -> None:
    """Tell those alerts again that still fire and that nobody has acknowledged, where their rule says so.

    Also after a notification that did not arrive: what refused it may have been mended by then.
    """
    rows = connection.execute(
        select(members)
        .join(alerts, alerts.c.id == members.c.alert_id)
        .where(
            members.c.notification_id == claimed.id,
            members.c.dropped.is_(None),
            members.c.kind.in_((Kind.FIRED.value, Kind.REPEAT.value)),
            alerts.c.resolved_at.is_(None),
        )
    ).mappings()
    by_pause: dict[float, list[Member]] = {}
    for row in rows:
        pause_s = row["facts"].get("repeat_s")
        if pause_s:
            again = Member(row["alert_id"], claimed.channel, Kind.REPEAT, row["number"] + 1, row["facts"])
            by_pause.setdefault(pause_s, []).append(again)
    numbers = [item.alert_id for group in by_pause.values() for item in group]
    known = content.acknowledged(connection, numbers)
    there = already(connection, numbers)
    for pause_s, group in by_pause.items():
        kept = [item for item in group if item.alert_id not in known and item.key not in there]
        if kept:
            due_at = now + timedelta(seconds=pause_s)
            number = new_row(connection, claimed.channel, claimed.group_labels, due_at, now, is_planned=True)
            connection.execute(insert(members), [member_row(item, number) for item in kept])


def _end(connection: Connection, number: int, state: State, now: datetime) -> None:
    values = {"state": state.value, "finished_at": now}
    connection.execute(update(notifications).where(notifications.c.id == number).values(values))


def count(connection: Connection, channel: str, outcome: str) -> None:
    """Add one to what Prometheus is told; inside the outbox's turn."""
    where = and_(notification_tallies.c.channel == channel, notification_tallies.c.outcome == outcome)
    row = {"channel": channel, "outcome": outcome, "count": 1}
    more = update(notification_tallies).where(where).values(count=notification_tallies.c.count + 1)
    if not connection.execute(more).rowcount:
        connection.execute(insert(notification_tallies).values(row))


def tallies(db: Database) -> list[tuple[str, str, int]]:
    """Channel, outcome and how often, since the database was made."""
    with db.read() as connection:
        rows = connection.execute(
            select(notification_tallies).order_by(
                notification_tallies.c.channel, notification_tallies.c.outcome
            )
        )
        return [(channel, outcome, number) for channel, outcome, number in rows]


def backlog(db: Database, now: datetime) -> dict[str, tuple[int, float]]:
    """Notifications of each channel that are overdue or being sent, and for how many seconds the oldest is."""
    since = case((notifications.c.attempts > 0, notifications.c.created_at), else_=notifications.c.due_at)
    is_open = or_(
        notifications.c.state == State.SENDING.value,
        and_(
            notifications.c.state == State.WAITING.value,
            or_(notifications.c.due_at <= now, notifications.c.attempts > 0),
        ),
    )
    query = select(notifications.c.channel, func.count(), func.min(since)).where(is_open)
    with db.read() as connection:
        rows = connection.execute(query.group_by(notifications.c.channel)).all()
    return {row[0]: (row[1], max(0.0, (now - row[2]).total_seconds())) for row in rows}


def give_up_unknown(db: Database, known: set[str], before: datetime, now: datetime) -> int:
    """Give up what has waited long for channels that the settings do not have; how many."""
    values = {
        "state": State.FAILED.value,
        "finished_at": now,
        "reason": "the settings have no channel of that name",
    }
    with db.write() as connection:
        take_turn(connection)
        given_up = connection.execute(
            update(notifications)
            .where(
                notifications.c.state == State.WAITING.value,
                notifications.c.created_at < before,
                notifications.c.due_at < before,
                notifications.c.channel.not_in(known),
            )
            .values(values)
            .returning(notifications.c.channel)
        ).scalars()
        channels = list(given_up)
        for channel in channels:
            count(connection, channel, "failed")
    return len(channels)


def prune(db: Database, now: datetime, keep_days: float) -> int:
    """Delete notifications that ended longer ago, but for those of alerts that still fire; how many went."""
    oldest = now - timedelta(days=keep_days)
    still_fires = exists().where(
        members.c.notification_id == notifications.c.id,
        members.c.alert_id == alerts.c.id,
        alerts.c.resolved_at.is_(None),
    )
    with db.write() as connection:
        take_turn(connection)
        done = connection.execute(
            delete(notifications).where(
                notifications.c.state.in_(_ENDED), notifications.c.finished_at < oldest, ~still_fires
            )
        )
    return done.rowcount
