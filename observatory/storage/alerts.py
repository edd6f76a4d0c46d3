"""What the alert engine knows and what it says, written in one transaction each time.

Several processes may want to do the watching; one at a time does. Who does it is told by a lease, so that
they do not take turns without need; that nothing is said twice is not: each writer locks the cursor's row
and goes on only from the very revision that it read. Killed at any moment it leaves what it had seen and
said together, or neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from observatory.alerts import saved
from observatory.alerts.memory import Memory
from observatory.alerts.states import AlertKey, AlertState, Watch
from observatory.alerts.transitions import Kind, Transition
from observatory.settings import Settings
from observatory.storage import alert_facts, events, notifications
from observatory.storage.alert_schema import alert_cursor, alert_memories, alert_states, alerts
from observatory.storage.session import Database
from observatory.storage.texts import plain_text

_ID = 1


@dataclass(frozen=True)
class Cursor:
    """Up to where the engine has seen what happened.

    Attributes
    ----------
    rules : str
        Text of the rules by which it thought.
    revision : int
        Changes with all that is written.
    """

    event_seq: int
    arrival_id: int
    rules: str
    revision: int


def is_idle(db: Database) -> bool:
    """Whether no alert is pending or fires."""
    with db.read() as connection:
        return connection.execute(select(alert_states.c.rule).limit(1)).first() is None


def rules_text(db: Database) -> str | None:
    """Text of the rules that were in force last; None when there never were any."""
    with db.read() as connection:
        return connection.execute(select(alert_cursor.c.rules)).scalar()


def take_over(db: Database, holder: str, now: datetime, lease_s: float) -> tuple[Cursor, Watch] | None:
    """Begin to watch, with what is known; None while another process does.

    The very first watcher begins with what happens from now on.
    """
    with db.read() as connection:  # whoever waits for its turn does not stand in the way of those who work
        seen = connection.execute(select(alert_cursor)).mappings().one_or_none()
        if seen is not None and _is_anothers(dict(seen), holder, now, lease_s):
            return None
    with db.write() as connection:
        row = _locked(db, connection, now)
        if _is_anothers(row, holder, now, lease_s):
            return None
        connection.execute(
            update(alert_cursor).values(holder=holder, leased_until=now + timedelta(seconds=lease_s))
        )
        cursor = Cursor(row["event_seq"], row["arrival_id"], row["rules"], row["revision"])
        return cursor, _watch(connection, row)


def _is_anothers(row: Mapping[str, Any], holder: str, now: datetime, lease_s: float) -> bool:
    until: datetime | None = row["leased_until"]
    if until is None or row["holder"] in (None, holder):
        return False
    # A lease that ends far in the future was given before the clock was set back.
    return now < until <= now + 2 * timedelta(seconds=lease_s)


def _locked(db: Database, connection: Connection, now: datetime) -> Mapping[str, Any]:
    """The cursor's row, which nobody else reads or writes until the transaction ends."""
    query = select(alert_cursor).where(alert_cursor.c.id == _ID).with_for_update()
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        event_seq, arrival_id = alert_facts.places(connection)
        first = {
            "id": _ID,
            "event_seq": event_seq,
            "arrival_id": arrival_id,
            "now_at": now,
            "awake_since": now,
            "rules": "",
            "revision": 0,
        }
        db.insert_new(connection, alert_cursor, [first])
        row = connection.execute(query).mappings().one()
    return dict(row)


def _watch(connection: Connection, row: Mapping[str, Any]) -> Watch:
    memories: dict[str, Memory] = {}
    for item in connection.execute(select(alert_memories)):
        memory = saved.memory_of(item.payload)
        if memory is not None:
            memories[item.instrument] = memory
    states: dict[AlertKey, AlertState] = {}
    for item in connection.execute(select(alert_states)):
        state = saved.state_of(item.payload)
        if state is not None:
            states[state.key] = state
    return Watch(row["now_at"], row["awake_since"], memories, states)


def renew(db: Database, holder: str, cursor: Cursor, watch: Watch, now: datetime, lease_s: float) -> bool:
    """Go on watching, although nothing is to be said; False when another process has taken it over."""
    with db.write() as connection:
        mine = update(alert_cursor).where(
            alert_cursor.c.holder == holder, alert_cursor.c.revision == cursor.revision
        )
        values = _place(cursor, watch) | {"leased_until": now + timedelta(seconds=lease_s)}
        return bool(connection.execute(mine.values(values)).rowcount)


def let_go(db: Database, holder: str) -> None:
    """Let another process watch at once."""
    with db.write() as connection:
        mine = update(alert_cursor).where(alert_cursor.c.holder == holder)
        connection.execute(mine.values(holder=None, leased_until=None))


def save(
    db: Database,
    holder: str,
    cursor: Cursor,
    before: Watch,
    after: Watch,
    told: Sequence[Transition],
    settings: Settings,
    now: datetime,
) -> Cursor | None:
    """Write what is known now and what is to be told, or nothing: None when another process was here.

    Parameters
    ----------
    cursor : Cursor
        With the new places, and the revision that ``before`` was read at.
    """
    with db.write() as connection:
        row = _locked(db, connection, now)
        if row["holder"] != holder or row["revision"] != cursor.revision:
            return None
        _write_memories(db, connection, before, after)
        _write_states(db, connection, before, after)
        raised = _write_alerts(connection, told)
        notifications.enqueue(connection, raised, settings.notifications, now)
        new = replace(cursor, revision=cursor.revision + 1)
        leased = {"leased_until": now + timedelta(seconds=settings.alerts.lease_s)}
        connection.execute(update(alert_cursor).values(_place(new, after) | leased))
        events.append(db, connection, [_event(number, item) for number, item in raised])
        return new


def _place(cursor: Cursor, watch: Watch) -> dict[str, Any]:
    return vars(cursor) | {"now_at": watch.now, "awake_since": watch.awake_since}


def _write_memories(db: Database, connection: Connection, before: Watch, after: Watch) -> None:
    for name, memory in after.memories.items():
        if before.memories.get(name) is not memory:
            row = {"instrument": name[:64], "payload": saved.memory_json(memory)}
            db.upsert(connection, alert_memories, row, ["instrument"])


def _write_states(db: Database, connection: Connection, before: Watch, after: Watch) -> None:
    for key in before.states.keys() - after.states.keys():
        gone = (alert_states.c.rule == key.rule) & (alert_states.c.alert_key == key.text)
        connection.execute(delete(alert_states).where(gone))
    for key, state in after.states.items():
        if before.states.get(key) is not state:
            row = {"rule": key.rule, "alert_key": key.text, "payload": saved.state_json(state)}
            db.upsert(connection, alert_states, row, ["rule", "alert_key"])


def _write_alerts(connection: Connection, told: Sequence[Transition]) -> list[tuple[int, Transition]]:
    """Write the history; numbers of the alerts, and what became of them."""
    written = []
    for item in told:
        number = _number_of(connection, item)
        if number is None and item.kind is Kind.FIRED:
            values = _facts(item) | {"rule": item.rule, "alert_key": item.alert_key, "fired_at": item.at}
            number = connection.execute(insert(alerts).values(values).returning(alerts.c.id)).scalar_one()
        elif number is not None:
            ended = {"resolved_at": item.at} if item.kind is Kind.RESOLVED else {}
            connection.execute(update(alerts).where(alerts.c.id == number).values(_facts(item) | ended))
        if number is not None:
            written.append((number, item))
    return written


def _number_of(connection: Connection, item: Transition) -> int | None:
    is_it = (alerts.c.rule == item.rule) & (alerts.c.alert_key == item.alert_key)
    query = select(alerts.c.id).where(is_it, alerts.c.resolved_at.is_(None))
    return connection.execute(query).scalar()


def _facts(item: Transition) -> dict[str, Any]:
    return {
        "instrument": item.instrument,
        "severity": item.severity[:32],
        "labels": dict(item.labels),
        "annotations": {name: plain_text(word) for name, word in item.annotations.items()},
        "evidence": dict(item.evidence),
        "since": item.since,
        "updated_at": item.at,
        "inhibited_by": item.inhibited_by,
    }


def _event(number: int, item: Transition) -> events.NewEvent:
    payload = {
        "id": number,
        "alert": item.rule,
        "alert_key": item.alert_key,
        "instrument": item.instrument,
        "kind": item.kind.value,
        "state": "firing" if item.is_firing else "resolved",
        "severity": item.severity,
        "labels": dict(item.labels),
        "annotations": {name: plain_text(word) for name, word in item.annotations.items()},
        "evidence": dict(item.evidence),
        "since": item.since,
        "at": item.at,
        "inhibited_by": item.inhibited_by,
    }
    return events.NewEvent("alert", item.instrument, None, payload)


def prune(db: Database, now: datetime, keep_days: float) -> int:
    """Forget alerts that ended long ago; how many."""
    with db.write() as connection:
        old = alerts.c.resolved_at < now - timedelta(days=keep_days)
        return connection.execute(delete(alerts).where(old)).rowcount
