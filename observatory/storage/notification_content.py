"""What a notification says, decided when it is first sent.

What ended, is silenced or inhibited, or is known is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select, update

from observatory.storage import acknowledgements, silences
from observatory.storage.alert_schema import alerts
from observatory.storage.notification_schema import notification_alerts as members
from observatory.storage.notification_schema import notifications
from observatory.storage.notifications import Kind, Member, State, in_parts, new_row
from observatory.storage.silences import Silence

_TOLD = ("rule", "alert_key", "labels", "annotations", "starts_at", "ends_at")
_INHIBITED_PAUSE = timedelta(minutes=1)
"""After it, an alert that others keep quiet is looked at again: nobody knows when that ends."""


@dataclass(frozen=True)
class _Facts:
    """What decides."""

    is_planned: bool
    resolved: frozenset[int]
    inhibited: frozenset[int]
    known: frozenset[int]
    untold: frozenset[int]
    silences: Sequence[Silence]


@dataclass(frozen=True)
class _Fates:
    """Members by what becomes of them; those that a silence holds back by its number."""

    told: list[Member] = field(default_factory=list)
    over: list[Member] = field(default_factory=list)
    silenced: list[Member] = field(default_factory=list)
    inhibited: list[Member] = field(default_factory=list)
    held: dict[int, list[Member]] = field(default_factory=dict)


def decide(
    connection: Connection, notification_id: int, now: datetime, *, is_planned: bool
) -> dict[str, Any] | str | None:
    """Payload of a notification, or ``silenced`` or ``cancelled`` when nobody is to hear of it.

    What a silence or another alert holds back waits for its end, and is told then if it still fires; None
    when all of the notification waits for other alerts: it is due again later.
    """
    row = (
        connection.execute(select(notifications).where(notifications.c.id == notification_id))
        .mappings()
        .one()
    )
    found = [
        Member(item["alert_id"], item["channel"], Kind(item["kind"]), item["number"], item["facts"])
        for item in connection.execute(
            select(members)
            .where(members.c.notification_id == notification_id)
            .order_by(members.c.alert_id, members.c.kind, members.c.number)
        ).mappings()
    ]
    facts = _facts(connection, found, now, is_planned=is_planned)
    fates = _fates(found, facts)
    if found and len(fates.inhibited) == len(found):
        _postpone(connection, notification_id, now)
        return None
    if fates.inhibited:
        _hold(connection, row, fates.inhibited, None, now + _INHIBITED_PAUSE, now)
    for outcome, left_out in ((State.CANCELLED, fates.over), (State.SILENCED, fates.silenced)):
        _mark(connection, left_out, dropped=outcome.value)
    ends = {silence.id: silence.ends_at for silence in facts.silences}
    for number, waiting in fates.held.items():
        _hold(connection, row, waiting, number, ends[number], now)
    if fates.told:
        return {"alerts": _alerts(fates.told)}
    is_silenced = bool(fates.held or fates.silenced)
    return State.SILENCED.value if is_silenced else State.CANCELLED.value


def _fates(found: Sequence[Member], facts: _Facts) -> _Fates:
    into = _Fates()
    for member in found:
        if _is_over(member, facts):
            into.over.append(member)
        elif member.alert_id in facts.inhibited and member.kind is not Kind.RESOLVED:
            into.inhibited.append(member)
        elif (silence := silences.covering(facts.silences, member.facts["labels"])) is None:
            into.told.append(member)
        elif member.kind is Kind.RESOLVED:
            into.silenced.append(member)
        else:
            into.held.setdefault(silence.id, []).append(member)
    return into


def acknowledged(connection: Connection, alert_ids: Sequence[int]) -> frozenset[int]:
    """Those alerts that somebody has acknowledged."""
    return frozenset(acknowledgements.of_alerts(connection, alert_ids))


def _facts(connection: Connection, found: Sequence[Member], now: datetime, *, is_planned: bool) -> _Facts:
    numbers = [member.alert_id for member in found]
    resolved: set[int] = set()
    inhibited: set[int] = set()
    for part in in_parts(numbers):
        query = select(alerts.c.id, alerts.c.resolved_at, alerts.c.inhibited_by).where(alerts.c.id.in_(part))
        for alert in connection.execute(query):
            if alert.resolved_at is not None:
                resolved.add(alert.id)
            elif alert.inhibited_by is not None:
                inhibited.add(alert.id)
    channel = found[0].channel if found else ""
    ends = [member.alert_id for member in found if member.kind is Kind.RESOLVED]
    told = _told_of(connection, channel, ends)
    return _Facts(
        is_planned=is_planned,
        resolved=frozenset(resolved),
        inhibited=frozenset(inhibited),
        known=acknowledged(connection, numbers),
        untold=frozenset(number for number in ends if number not in told),
        silences=silences.active(connection, now),
    )


def _told_of(connection: Connection, channel: str, numbers: Iterable[int]) -> set[int]:
    """Alerts of whose beginning a channel heard, or hears together with this."""
    told: set[int] = set()
    joined = members.join(notifications, notifications.c.id == members.c.notification_id)
    for part in in_parts(list(numbers)):
        query = (
            select(members.c.alert_id)
            .select_from(joined)
            .where(
                members.c.alert_id.in_(part),
                members.c.channel == channel,
                members.c.kind != Kind.RESOLVED.value,
                members.c.dropped.is_(None),
                notifications.c.state.not_in((State.SILENCED.value, State.CANCELLED.value)),
                (notifications.c.attempts > 0) | notifications.c.is_planned.is_(False),
            )
        )
        told.update(connection.execute(query).scalars())
    return told


def _is_over(member: Member, facts: _Facts) -> bool:
    """Whether nobody needs to hear of it any more."""
    number = member.alert_id
    match member.kind:
        case Kind.RESOLVED:
            return number in facts.untold
        case Kind.ESCALATION:
            is_known = number in facts.known and member.facts.get("unless_acknowledged", True)
            return number in facts.resolved or bool(is_known)
        case Kind.REPEAT:
            return number in facts.resolved or number in facts.known
        case Kind.FIRED:  # one that a silence held back, else it is told whatever came after
            return facts.is_planned and (number in facts.resolved or number in facts.known)


def _mark(connection: Connection, left_out: Sequence[Member], **values: Any) -> None:
    by_kind: dict[tuple[str, Kind, int], list[int]] = {}
    for member in left_out:
        by_kind.setdefault((member.channel, member.kind, member.number), []).append(member.alert_id)
    for (channel, kind, number), alert_ids in by_kind.items():
        for part in in_parts(alert_ids):
            connection.execute(
                update(members)
                .where(
                    members.c.alert_id.in_(part),
                    members.c.channel == channel,
                    members.c.kind == kind.value,
                    members.c.number == number,
                )
                .values(values)
            )


def _hold(
    connection: Connection,
    row: Mapping[Any, Any],
    waiting: Sequence[Member],
    silence_id: int | None,
    ends_at: datetime,
    now: datetime,
) -> None:
    """Let members wait, for the end of a silence if one is named, in a notification of their own."""
    number = new_row(
        connection,
        waiting[0].channel,
        row["group_labels"],
        ends_at,
        now,
        is_planned=True,
        silence_id=silence_id,
    )
    _mark(connection, waiting, notification_id=number)


def _postpone(connection: Connection, notification_id: int, now: datetime) -> None:
    """Let a whole notification wait for the alerts that keep its own quiet."""
    values = {"due_at": now + _INHIBITED_PAUSE, "is_planned": True}
    connection.execute(update(notifications).where(notifications.c.id == notification_id).values(values))


def _alerts(told: Sequence[Member]) -> list[dict[str, Any]]:
    """One entry for each alert: of one that fired and ended meanwhile, its end."""
    entries: dict[int, dict[str, Any]] = {}
    for member in sorted(told, key=lambda item: (item.alert_id, item.kind is Kind.RESOLVED)):
        entries[member.alert_id] = {
            "alert_id": member.alert_id,
            "kind": member.kind.value,
            "status": "resolved" if member.kind is Kind.RESOLVED else "firing",
            **{name: member.facts[name] for name in _TOLD},
        }
    return list(entries.values())
