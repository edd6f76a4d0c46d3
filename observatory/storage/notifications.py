"""What is to be told: alerts become rows of the outbox, in the transaction that writes the alerts.

Alerts of one channel that share the labels of their group go into one row while it waits to be sent, so
that a storm is one message. A row's key is drawn once and never changes: whoever receives a message twice
knows it by its key, and two stations, or one that begins anew, never draw the same. An alert stands once in
the outbox for each channel, kind and number, so that the same transition enqueued again adds nothing.
"""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import orjson
from sqlalchemy import Connection, func, insert, select, text

from observatory.alerts.engine import Kind as Change
from observatory.alerts.engine import Transition
from observatory.notification_settings import NotificationSettings
from observatory.storage.notification_schema import notification_alerts as members
from observatory.storage.notification_schema import notifications
from observatory.storage.texts import plain_text

MOST_ALERTS = 1_000
"""Alerts in one notification; further ones begin another."""

_LOCK_KEY = 0x6F7574626F78  # "outbox"
_LONGEST_TEXT = 2_000
_IDS_AT_ONCE = 500


class Kind(StrEnum):
    """Why somebody is told of an alert."""

    FIRED = "fired"
    RESOLVED = "resolved"
    REPEAT = "repeat"
    ESCALATION = "escalation"


class State(StrEnum):
    """How far a notification is."""

    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    SILENCED = "silenced"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Member:
    """An alert inside a notification that is not written yet."""

    alert_id: int
    channel: str
    kind: Kind
    number: int
    facts: Mapping[str, Any]

    @property
    def key(self) -> tuple[int, str, str, int]:
        """What may be there once."""
        return self.alert_id, self.channel, self.kind.value, self.number


@dataclass
class _Open:
    """A row that takes further alerts."""

    id: int
    alerts: int


@dataclass
class _Outbox:
    """One call's view of the rows."""

    connection: Connection
    settings: NotificationSettings
    now: datetime
    open_rows: dict[tuple[str, str], _Open | None] = field(default_factory=dict)
    written: list[dict[str, Any]] = field(default_factory=list)


def enqueue(
    connection: Connection,
    told: Sequence[tuple[int, Transition]],
    settings: NotificationSettings,
    now: datetime,
) -> None:
    """Write what is to be sent for transitions of alerts, inside the caller's transaction.

    It takes a turn of its own until the transaction ends: call it before events are appended.

    Parameters
    ----------
    told : sequence of (int, Transition)
        Numbers of alerts, and what became of them. Whoever enqueues the same again changes nothing.
    now : datetime
        Time of the clock on the wall; the transitions' own may be that of old frames.
    """
    wanted = [(item, number) for number, item in told if item.is_announced]
    if not wanted:
        return
    take_turn(connection)
    outbox = _Outbox(connection, settings, now)
    ended = [number for item, number in wanted if item.kind is Change.RESOLVED]
    told_higher = _escalated(connection, ended)
    there = already(connection, [number for _, number in wanted])
    for item, number in wanted:
        facts = _facts(item)
        is_end = item.kind is Change.RESOLVED
        others = sorted(told_higher.get(number, ())) if is_end else []
        for channel in dict.fromkeys([*item.notify, *others]):
            member = Member(number, channel, Kind.RESOLVED if is_end else Kind.FIRED, 0, facts)
            if member.key not in there:
                there.add(member.key)
                _collect(outbox, item, member)
        if not is_end:
            _plan_escalations(outbox, item, number, facts, there)
    if outbox.written:
        connection.execute(insert(members), outbox.written)


def take_turn(connection: Connection) -> None:
    """Let nobody else change the outbox until the transaction ends; SQLite has one writer anyway."""
    if connection.dialect.name != "sqlite":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})


def new_row(
    connection: Connection,
    channel: str,
    group: Mapping[str, str],
    due_at: datetime,
    now: datetime,
    *,
    is_planned: bool,
    silence_id: int | None = None,
) -> int:
    """Begin a notification; its number."""
    row = {
        "idempotency_key": uuid.uuid4().hex,
        "channel": channel,
        "group_hash": _hash(group),
        "group_labels": dict(group),
        "state": State.WAITING.value,
        "is_planned": is_planned,
        "silence_id": silence_id,
        "due_at": due_at,
        "attempts": 0,
        "created_at": now,
    }
    return connection.execute(insert(notifications).values(row).returning(notifications.c.id)).scalar_one()


def member_row(member: Member, notification_id: int) -> dict[str, Any]:
    """A member as it is written."""
    return {
        "alert_id": member.alert_id,
        "channel": member.channel,
        "kind": member.kind.value,
        "number": member.number,
        "notification_id": notification_id,
        "facts": dict(member.facts),
    }


def _collect(outbox: _Outbox, item: Transition, member: Member) -> None:
    """Put an alert into the row of its group that still waits, else into a new one."""
    group = _group(item, outbox.settings)
    place = (member.channel, _hash(group))
    if place not in outbox.open_rows:
        outbox.open_rows[place] = _find_open(outbox.connection, *place)
    row = outbox.open_rows[place]
    if row is None or row.alerts >= MOST_ALERTS:
        due_at = _due_at(outbox, item, place)
        number = new_row(outbox.connection, member.channel, group, due_at, outbox.now, is_planned=False)
        row = outbox.open_rows[place] = _Open(number, 0)
    row.alerts += 1
    outbox.written.append(member_row(member, row.id))


def _find_open(connection: Connection, channel: str, group_hash: str) -> _Open | None:
    found = connection.execute(
        select(notifications.c.id)
        .where(
            notifications.c.channel == channel,
            notifications.c.group_hash == group_hash,
            notifications.c.state == State.WAITING.value,
            notifications.c.attempts == 0,
            notifications.c.is_planned.is_(False),
        )
        .order_by(notifications.c.id.desc())
        .limit(1)
    ).scalar()
    if found is None:
        return None
    count = select(func.count()).select_from(members).where(members.c.notification_id == found)
    return _Open(found, connection.execute(count).scalar_one())


def _due_at(outbox: _Outbox, item: Transition, place: tuple[str, str]) -> datetime:
    """When a new row is sent: after the wait for others, and not too soon after the group's last."""
    wait = timedelta(seconds=outbox.settings.group_wait_s) if item.group_wait is None else item.group_wait
    interval = timedelta(seconds=outbox.settings.group_interval_s)
    last = outbox.connection.execute(
        select(func.max(notifications.c.finished_at)).where(
            notifications.c.channel == place[0],
            notifications.c.group_hash == place[1],
            notifications.c.state == State.SENT.value,
        )
    ).scalar()
    soonest = outbox.now + wait
    if last is None or last > outbox.now:  # the clock was set back: no pause is as long as that
        return soonest
    return max(soonest, last + interval)


def _plan_escalations(
    outbox: _Outbox,
    item: Transition,
    number: int,
    facts: Mapping[str, Any],
    there: set[tuple[int, str, str, int]],
) -> None:
    for step, escalation in enumerate(item.escalations, 1):
        for channel in dict.fromkeys(escalation.notify):
            told = {**facts, "unless_acknowledged": escalation.unless == "acknowledged"}
            member = Member(number, channel, Kind.ESCALATION, step, told)
            if member.key in there:
                continue
            there.add(member.key)
            group = _group(item, outbox.settings)
            due_at = outbox.now + escalation.after
            # Those of a storm go up together: the row of the same moment takes them.
            place = (channel, f"{_hash(group)} {step} {due_at.isoformat()}")
            row = outbox.open_rows.get(place)
            if row is None or row.alerts >= MOST_ALERTS:
                begun = new_row(outbox.connection, channel, group, due_at, outbox.now, is_planned=True)
                row = outbox.open_rows[place] = _Open(begun, 0)
            row.alerts += 1
            outbox.written.append(member_row(member, row.id))


def already(connection: Connection, numbers: Sequence[int]) -> set[tuple[int, str, str, int]]:
    """What the outbox has of alerts: keys of members."""
    found: set[tuple[int, str, str, int]] = set()
    columns = (members.c.alert_id, members.c.channel, members.c.kind, members.c.number)
    for part in in_parts(numbers):
        rows = connection.execute(select(*columns).where(members.c.alert_id.in_(part)))
        found.update((row.alert_id, row.channel, row.kind, row.number) for row in rows)
    return found


def _escalated(connection: Connection, numbers: Sequence[int]) -> dict[int, set[str]]:
    """Channels that an alert was escalated to: they hear of its end, too."""
    found: dict[int, set[str]] = {}
    joined = members.join(notifications, notifications.c.id == members.c.notification_id)
    for part in in_parts(numbers):
        rows = connection.execute(
            select(members.c.alert_id, members.c.channel)
            .select_from(joined)
            .where(
                members.c.alert_id.in_(part),
                members.c.kind == Kind.ESCALATION.value,
                members.c.dropped.is_(None),
                notifications.c.state.in_((State.SENT.value, State.SENDING.value))
                | ((notifications.c.state == State.WAITING.value) & (notifications.c.attempts > 0)),
            )
        )
        for row in rows:
            found.setdefault(row.alert_id, set()).add(row.channel)
    return found


def in_parts(numbers: Sequence[int]) -> list[list[int]]:
    """Numbers in pieces that one statement takes."""
    ordered = sorted(set(numbers))
    return [ordered[start : start + _IDS_AT_ONCE] for start in range(0, len(ordered), _IDS_AT_ONCE)]


def _group(item: Transition, settings: NotificationSettings) -> dict[str, str]:
    labels = labels_of(item)
    names = settings.group_by if item.group_by is None else item.group_by
    return {name: labels.get(name, "") for name in names}


def _hash(group: Mapping[str, str]) -> str:
    return hashlib.sha256(orjson.dumps(sorted(group.items()))).hexdigest()[:32]


def labels_of(item: Transition) -> dict[str, str]:
    """All labels of an alert, with its rule's and its instrument's name, as text."""
    return {"alertname": item.rule, "instrument": item.instrument} | _as_text(item.labels)


def _as_text(words: Mapping[str, str]) -> dict[str, str]:
    return {str(name)[:64]: plain_text(str(value))[:_LONGEST_TEXT] for name, value in words.items()}


def _facts(item: Transition) -> dict[str, Any]:
    return {
        "rule": item.rule,
        "alert_key": item.alert_key,
        "labels": labels_of(item),
        "annotations": _as_text(item.annotations),
        "starts_at": item.since.isoformat(),
        "ends_at": item.at.isoformat() if item.kind is Change.RESOLVED else None,
        "repeat_s": None if item.repeat is None else item.repeat.total_seconds(),
    }


def of_alert(connection: Connection, alert_id: int, limit: int = 200) -> list[dict[str, Any]]:
    """What was sent, or is to be sent, of one alert: the newest of it, oldest first."""
    columns = (
        members.c.kind,
        members.c.number,
        members.c.channel,
        members.c.dropped,
        *(notifications.c[name] for name in _SHOWN),
    )
    joined = members.join(notifications, notifications.c.id == members.c.notification_id)
    query = select(*columns).select_from(joined).where(members.c.alert_id == alert_id)
    newest = query.order_by(notifications.c.id.desc(), members.c.kind.desc()).limit(limit)
    rows = connection.execute(newest).mappings().all()
    return [{str(name): value for name, value in row.items()} for row in reversed(rows)]


_SHOWN = ("idempotency_key", "state", "due_at", "attempts", "reason", "finished_at")


def states(connection: Connection) -> Counter[tuple[str, str]]:
    """How many notifications of each channel are in each state."""
    query = select(notifications.c.channel, notifications.c.state, func.count()).group_by(
        notifications.c.channel, notifications.c.state
    )
    return Counter({(row[0], row[1]): row[2] for row in connection.execute(query)})
