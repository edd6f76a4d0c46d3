"""Who is told of an alert, when and how often: groups, repeats, escalations, silences, and what keeps it quiet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from observatory.settings import Settings
from observatory.storage import acknowledgements, outbox, silences
from observatory.storage.notification_schema import notifications as rows
from observatory.storage.session import Database
from service.notify.delivery import Delivery
from tests.service.alarms import (
    Alarms,
    Clock,
    Escalation,
    Kind,
    empty,
    told,
    transition,
    webhook,
    with_channels,
)
from tests.service.receivers import Receiver
from tests.service.telescope import on_sqlite


def test_an_alert_is_told_once_as_alertmanager_does_and_so_is_its_end(
    alarms: Alarms, delivery: Delivery, receiver: Receiver, db: Database
) -> None:
    (number,) = alarms.fire()
    empty(delivery)
    alarms.resolve(number)
    empty(delivery)
    fired, resolved = receiver.posts
    assert fired.key != resolved.key and len(fired.key) == 32
    body = fired.body
    assert (body["version"], body["status"], body["receiver"]) == ("4", "firing", "hook")
    assert body["groupLabels"] == {"alertname": "HalphaDegraded"}
    assert body["groupKey"] == '{}:{alertname="HalphaDegraded"}'
    assert body["commonLabels"]["severity"] == "warning" and body["truncatedAlerts"] == 0
    (alert,) = body["alerts"]
    assert set(alert) == {
        "status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint",
    }  # fmt: skip
    assert alert["endsAt"] == "0001-01-01T00:00:00Z" and alert["startsAt"].endswith("Z")
    assert resolved.body["status"] == "resolved" and resolved.body["alerts"][0]["endsAt"] > alert["startsAt"]
    assert resolved.body["alerts"][0]["fingerprint"] == alert["fingerprint"]
    assert told(db, number) == [("hook", "fired", "sent", 1), ("hook", "resolved", "sent", 1)]
    assert outbox.tallies(db) == [("hook", "sent", 2)]


def test_a_transition_that_is_enqueued_twice_is_told_once(
    alarms: Alarms, delivery: Delivery, receiver: Receiver, db: Database
) -> None:
    from observatory.storage import notifications

    steps = (Escalation(timedelta(minutes=10), ("boss",)),)
    (number,) = alarms.fire(escalations=steps)
    again = transition("HalphaDegraded", "kso-halpha", escalations=steps)
    for _ in range(2):
        with db.write() as connection:
            notifications.enqueue(connection, [(number, again)], alarms.settings, datetime.now(UTC))
        empty(delivery)
    assert len(receiver.posts) == 1
    with db.read() as connection:
        assert connection.execute(select(func.count()).select_from(rows)).scalar() == 2


def test_a_storm_of_a_thousand_alerts_is_one_message(
    alarms: Alarms, delivery: Delivery, receiver: Receiver
) -> None:
    alarms.storm([("CameraSilent", f"camera-{number}") for number in range(1000)], notify=("hook",))
    alarms.storm([("CameraSilent", "camera-1000")])
    empty(delivery)
    assert [len(post.body["alerts"]) for post in receiver.posts] == [1000, 1]
    names = {alert["labels"]["instrument"] for post in receiver.posts for alert in post.body["alerts"]}
    assert len(names) == 1001
    assert receiver.posts[0].body["commonLabels"] == {"alertname": "CameraSilent", "severity": "warning"}


@on_sqlite
def test_a_group_waits_for_others_and_keeps_its_pause(
    settings: Settings, receiver: Receiver, db: Database, clock: Clock
) -> None:
    house = with_channels(settings, {"hook": webhook(receiver.url)}, group_wait_s=10.0, group_interval_s=60.0)
    alarms, delivery = Alarms(db, house), Delivery(house, db, clock=clock)
    for name in ("a", "b"):
        alarms.storm([("Silent", name)], now=clock())
        empty(delivery)
        assert receiver.posts == []
        clock.advance(seconds=6)
    empty(delivery)
    assert [len(post.body["alerts"]) for post in receiver.posts] == [2]
    alarms.storm([("Silent", "c")], now=clock())
    clock.advance(seconds=45)
    empty(delivery)
    assert len(receiver.posts) == 1
    clock.advance(seconds=20)
    empty(delivery)
    assert len(receiver.posts) == 2


@on_sqlite
def test_rules_group_by_labels_of_their_own_and_wait_as_long_as_they_say(
    alarms: Alarms, delivery: Delivery, receiver: Receiver, clock: Clock
) -> None:
    alarms.storm(
        [("A", "kso"), ("B", "kso"), ("A", "gong")], group_by=("instrument",), group_wait=timedelta(minutes=1)
    )
    empty(delivery)
    assert receiver.posts == []
    clock.advance(minutes=2)
    empty(delivery)
    found = sorted(
        (post.body["groupLabels"]["instrument"], len(post.body["alerts"])) for post in receiver.posts
    )
    assert found == [("gong", 1), ("kso", 2)]


@on_sqlite
def test_an_alert_is_repeated_until_it_is_acknowledged(
    alarms: Alarms, delivery: Delivery, receiver: Receiver, db: Database, clock: Clock
) -> None:
    (number,) = alarms.fire(repeat=timedelta(hours=1))
    for _ in range(3):
        empty(delivery)
        clock.advance(minutes=61)
    assert len(receiver.posts) == len(receiver.keys) == 3
    acknowledgements.put(db, number, "on my way", "observer", datetime.now(UTC))
    empty(delivery)
    assert len(receiver.posts) == 3
    alarms.resolve(number)
    empty(delivery)
    assert receiver.posts[-1].body["status"] == "resolved"
    clock.advance(hours=5)
    empty(delivery)
    assert len(receiver.posts) == 4
    assert outbox.tallies(db) == [("hook", "cancelled", 1), ("hook", "sent", 4)]


@on_sqlite
@pytest.mark.parametrize("ending", ["nothing", "acknowledged", "resolved", "regardless"])
def test_an_alert_goes_up_unless_it_is_acknowledged_or_over(
    ending: str, alarms: Alarms, delivery: Delivery, receiver: Receiver, db: Database, clock: Clock
) -> None:
    unless = None if ending == "regardless" else "acknowledged"
    (number,) = alarms.fire(escalations=(Escalation(timedelta(minutes=10), ("boss",), unless),))
    empty(delivery)
    if ending in ("acknowledged", "regardless"):
        acknowledgements.put(db, number, None, "observer", datetime.now(UTC))
    if ending == "resolved":
        alarms.resolve(number)
    clock.advance(minutes=11)
    empty(delivery)
    heard = [post.path for post in receiver.posts]
    if ending in ("nothing", "regardless"):
        assert heard == ["/hook", "/hook/boss"]
        alarms.resolve(number)
        clock.advance(minutes=1)
        empty(delivery)
        assert sorted(post.path for post in receiver.posts[2:]) == ["/hook", "/hook/boss"]
    else:
        assert "/hook/boss" not in heard


def test_what_a_silence_holds_back_is_told_at_its_end_if_it_still_fires(
    alarms: Alarms, delivery: Delivery, receiver: Receiver, db: Database, clock: Clock
) -> None:
    now = datetime.now(UTC)
    hour = timedelta(hours=1)
    held = silences.create(db, {"instrument": "kso-*"}, now, now + hour, "cleaning", "observer", now)
    stays, passes = (alarms.fire(rule)[0] for rule in ("Stays", "Passes"))
    alarms.fire("Elsewhere", instrument="gong")
    empty(delivery)
    assert [post.body["groupLabels"]["alertname"] for post in receiver.posts] == ["Elsewhere"]
    alarms.resolve(passes, rule="Passes")
    clock.advance(minutes=30)
    empty(delivery)
    silences.expire(db, held.id, clock())
    empty(delivery)
    assert [post.body["groupLabels"]["alertname"] for post in receiver.posts] == ["Elsewhere", "Stays"]
    assert told(db, stays) == [("hook", "fired", "sent", 1)]
    assert {state for _, _, state, _ in told(db, passes)} == {"silenced", "cancelled"} or {
        state for _, _, state, _ in told(db, passes)
    } == {"cancelled"}
    clock.advance(hours=2)
    empty(delivery)
    assert len(receiver.posts) == 2


@on_sqlite
def test_a_silence_ends_by_itself_and_what_it_held_back_is_told(
    alarms: Alarms, delivery: Delivery, receiver: Receiver, db: Database, clock: Clock
) -> None:
    now = datetime.now(UTC)
    silences.create(db, {"alertname": "*"}, now, now + timedelta(hours=1), None, "observer", now)
    alarms.fire(repeat=timedelta(hours=4))
    empty(delivery)
    clock.advance(minutes=61)
    empty(delivery)
    assert len(receiver.posts) == 1
    clock.advance(hours=5)
    empty(delivery)
    assert len(receiver.posts) == 2


@on_sqlite
@pytest.mark.parametrize(
    ("matchers", "start_h", "end_h", "field"),
    [
        ({"instrument": "kso"}, -2, -1, "ends_at"),
        ({"instrument": "kso"}, 2, 1, "ends_at"),
        ({"instrument": "kso"}, 0, 24 * 400, "ends_at"),
        ({}, 0, 1, "matchers"),
        ({"": "x"}, 0, 1, "matchers"),
        ({"a": "*" * 201}, 0, 1, "matchers"),
    ],
)
def test_a_silence_that_silences_nothing_is_refused(
    matchers: dict[str, str], start_h: int, end_h: int, field: str, db: Database
) -> None:
    now = datetime.now(UTC)
    with pytest.raises(silences.UnusableSilenceError) as caught:
        silences.create(
            db, matchers, now + timedelta(hours=start_h), now + timedelta(hours=end_h), None, "x", now
        )
    assert caught.value.field == field


@on_sqlite
def test_what_ended_long_ago_is_removed_unless_its_alert_still_fires(
    alarms: Alarms, delivery: Delivery, db: Database, clock: Clock
) -> None:
    (first,) = alarms.fire("First")
    (second,) = alarms.fire("Second")
    empty(delivery)
    alarms.resolve(first, rule="First")
    empty(delivery)
    later = clock() + timedelta(days=91)
    assert outbox.prune(db, later, 90.0) == 2
    assert told(db, first) == [] and len(told(db, second)) == 1


@on_sqlite
def test_an_update_and_what_is_inhibited_are_told_to_nobody(
    alarms: Alarms, delivery: Delivery, receiver: Receiver, db: Database
) -> None:
    from observatory.storage import notifications

    (number,) = alarms.fire(is_announced=False)
    empty(delivery)
    assert receiver.posts == []
    later = transition("HalphaDegraded", "kso-halpha", Kind.UPDATED)
    with db.write() as connection:
        notifications.enqueue(connection, [(number, later)], alarms.settings, datetime.now(UTC))
    empty(delivery)
    assert [post.body["status"] for post in receiver.posts] == ["firing"]


@on_sqlite
def test_while_another_alert_keeps_it_quiet_an_alert_is_neither_repeated_nor_escalated_and_then_goes_on(
    alarms: Alarms, delivery: Delivery, receiver: Receiver, db: Database, clock: Clock
) -> None:
    steps = (Escalation(timedelta(minutes=90), ("boss",)),)
    (number,) = alarms.fire(repeat=timedelta(hours=1), escalations=steps)
    (other,) = alarms.fire(instrument="gong", repeat=timedelta(hours=1))
    empty(delivery)
    alarms.inhibit("CameraFrozen", number)
    for _ in range(3):
        clock.advance(minutes=61)
        empty(delivery)
    heard = [[alert["labels"]["instrument"] for alert in post.body["alerts"]] for post in receiver.posts]
    assert heard == [["kso-halpha", "gong"], ["gong"], ["gong"], ["gong"]]
    assert {post.path for post in receiver.posts} == {"/hook"}
    with db.read() as connection:
        assert connection.execute(select(func.count()).select_from(rows)).scalar() == 7
    alarms.inhibit(None, number)
    clock.advance(minutes=2)
    empty(delivery)
    again = [(post.path, post.body["alerts"][0]["labels"]["instrument"]) for post in receiver.posts[4:]]
    assert sorted(again) == [("/hook", "kso-halpha"), ("/hook/boss", "kso-halpha")]
    clock.advance(minutes=61)
    empty(delivery)
    assert told(db, number)[-1] == ("hook", "repeat", "waiting", 0)
    assert told(db, other)[0] == ("hook", "fired", "sent", 1)


@on_sqlite
@pytest.mark.parametrize("is_over", [True, False])
def test_an_alert_that_another_one_keeps_quiet_before_it_was_told_is_told_when_that_ends_if_it_still_fires(
    is_over: bool, alarms: Alarms, delivery: Delivery, receiver: Receiver, clock: Clock
) -> None:
    (number,) = alarms.fire(group_wait=timedelta(minutes=1))
    alarms.inhibit("CameraFrozen", number)
    clock.advance(minutes=2)
    empty(delivery)
    assert receiver.posts == []
    if is_over:
        alarms.resolve(number)
    alarms.inhibit(None, number)
    clock.advance(minutes=2)
    empty(delivery)
    assert [post.body["status"] for post in receiver.posts] == ([] if is_over else ["firing"])
