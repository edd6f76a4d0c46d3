"""What becomes of a notification where something fails: tried again, told once, given up with its reason."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from observatory.errors import StorageUnavailableError
from observatory.settings import Settings
from observatory.storage import outbox
from observatory.storage.session import Database
from service.notify import delivery as delivery_module
from service.notify.delivery import Delivery
from tests.service.alarms import (
    Alarms,
    Clock,
    empty,
    reasons,
    told,
    webhook,
    with_channels,
)
from tests.service.receivers import Receiver, mute_server, web_server
from tests.service.telescope import on_sqlite


@on_sqlite
def test_what_was_planned_long_ago_is_tried_as_patiently_as_all_else(
    alarms: Alarms, delivery: Delivery, receiver: Receiver, db: Database, clock: Clock
) -> None:
    (number,) = alarms.fire(repeat=timedelta(days=7))
    empty(delivery)
    receiver.answer = lambda _: 503
    clock.advance(days=7, minutes=1)
    empty(delivery)
    assert told(db, number)[-1] == ("hook", "repeat", "waiting", 1)
    assert outbox.backlog(db, clock())["hook"][1] < 3600
    receiver.answer = lambda _: 200
    clock.advance(minutes=2)
    empty(delivery)
    assert told(db, number)[1] == ("hook", "repeat", "sent", 2)
    receiver.answer = lambda _: 503
    clock.advance(days=7, minutes=1)
    empty(delivery)
    clock.advance(days=4)
    empty(delivery)
    assert told(db, number)[2] == ("hook", "repeat", "failed", 2)


def test_a_receiver_that_fails_is_tried_again_with_the_same_key_and_the_same_words(
    alarms: Alarms, delivery: Delivery, receiver: Receiver, db: Database, clock: Clock
) -> None:
    answers: list[int | bytes | None] = [
        500,
        429,
        None,
        b"HTTP/1.1 20",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf",
    ]
    receiver.answer = lambda _: answers.pop(0)
    (number,) = alarms.fire()
    for _ in range(6):
        empty(delivery)
        clock.advance(minutes=20)
    assert answers == []
    assert len(receiver.posts) == 5 and len(receiver.keys) == 1
    assert all(post.body == receiver.posts[0].body for post in receiver.posts)
    assert [post.headers["heliowatch-attempt"] for post in receiver.posts] == ["1", "2", "3", "4", "5"]
    assert told(db, number) == [("hook", "fired", "sent", 5)]
    assert outbox.tallies(db) == [("hook", "retried", 4), ("hook", "sent", 1)]


@on_sqlite
@pytest.mark.parametrize("answer", [400, 401, 404, 410, "http://127.0.0.1:1/elsewhere"])
def test_a_receiver_that_refuses_for_good_or_points_elsewhere_is_given_up_with_its_reason(
    answer: int | str, alarms: Alarms, delivery: Delivery, receiver: Receiver, db: Database, clock: Clock
) -> None:
    receiver.answer = lambda _: answer
    (number,) = alarms.fire()
    empty(delivery)
    clock.advance(hours=1)
    empty(delivery)
    assert len(receiver.posts) == 1
    assert told(db, number) == [("hook", "fired", "failed", 1)]
    (reason,) = reasons(db)
    assert reason is not None
    assert ("redirects are not followed" in reason) if isinstance(answer, str) else (str(answer) in reason)


@on_sqlite
def test_an_alert_whose_message_was_given_up_is_repeated_as_its_rule_says(
    alarms: Alarms, delivery: Delivery, receiver: Receiver, db: Database, clock: Clock
) -> None:
    receiver.answer = lambda _: 401
    (number,) = alarms.fire(repeat=timedelta(hours=1))
    empty(delivery)
    clock.advance(minutes=59)
    empty(delivery)
    assert told(db, number)[0] == ("hook", "fired", "failed", 1) and len(receiver.posts) == 1
    receiver.answer = lambda _: 200  # the token was mended
    clock.advance(minutes=2)
    empty(delivery)
    assert ("hook", "repeat", "sent", 1) in told(db, number)


@on_sqlite
def test_receivers_that_hang_delay_no_other(
    settings: Settings, receiver: Receiver, db: Database, eventually: Callable[..., None]
) -> None:
    may_answer = threading.Event()
    with web_server(Receiver()) as slow:
        slow.answer = lambda _: 200 if may_answer.wait(60) else 500
        with mute_server() as port:
            channels = {
                "a-mute": webhook(f"http://127.0.0.1:{port}/"),
                "b-slow": webhook(slow.url),
                "hook": webhook(receiver.url),
            }
            house = with_channels(settings, channels, send_patience_s=60.0)
            delivery = Delivery(house, db)
            (number,) = Alarms(db, house).fire(notify=tuple(channels))
            delivery.step()
            eventually(
                lambda: ("hook", "fired", "sent", 1) in told(db, number),
                "hook was not told while others hung",
            )
            assert {("a-mute", "fired", "sending", 1), ("b-slow", "fired", "sending", 1)} < set(
                told(db, number)
            )
        may_answer.set()
        empty(delivery)
    found = {(channel, state) for channel, _, state, _ in told(db, number)}
    assert found == {("a-mute", "waiting"), ("b-slow", "sent"), ("hook", "sent")}


@on_sqlite
def test_the_order_of_a_group_is_kept_while_its_first_message_is_tried_again(
    alarms: Alarms, delivery: Delivery, receiver: Receiver, clock: Clock
) -> None:
    receiver.answer = lambda _: 503
    (number,) = alarms.fire()
    empty(delivery)
    alarms.resolve(number)
    alarms.fire("Other")
    receiver.answer = lambda _: 200
    clock.advance(minutes=1)
    empty(delivery)
    own = [p.body["status"] for p in receiver.posts if p.body["groupLabels"]["alertname"] != "Other"]
    assert own == ["firing", "firing", "resolved"]


def test_two_deliveries_send_each_notification_once_and_one_takes_over_what_the_other_left(
    house: Settings, alarms: Alarms, db: Database, receiver: Receiver, clock: Clock
) -> None:
    other = Database(db.url)
    deliveries = [Delivery(house, db, clock=clock), Delivery(house, other, clock=clock)]
    alarms.storm([(f"Rule{number}", "kso") for number in range(30)])
    threads = [threading.Thread(target=empty, args=(delivery,)) for delivery in deliveries]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(receiver.keys) == 30 and set(receiver.keys.values()) == {1}
    alarms.fire("Left")
    left = outbox.claim(db, "hook", "a process that dies", clock(), 30)
    assert left is not None
    empty(deliveries[1])
    assert left.key not in receiver.keys
    clock.advance(seconds=31)
    empty(deliveries[1])
    assert receiver.keys[left.key] == 1
    assert not outbox.note_sent(db, left, "a process that dies", clock())
    other.dispose()


def test_alerts_that_join_a_group_while_it_is_being_claimed_are_told_once_each(
    house: Settings, alarms: Alarms, db: Database, receiver: Receiver
) -> None:
    others = [Database(db.url) for _ in range(2)]
    deliveries = [Delivery(house, other) for other in others]
    is_over = threading.Event()

    def deliver(delivery: Delivery) -> None:
        while not is_over.is_set():
            empty(delivery)

    threads = [threading.Thread(target=deliver, args=(delivery,)) for delivery in deliveries]
    for thread in threads:
        thread.start()
    for number in range(60):
        alarms.storm([("Silent", f"camera-{number}")])
    is_over.set()
    for thread in threads:
        thread.join(60)
    empty(deliveries[0])
    heard = [item["labels"]["instrument"] for post in receiver.posts for item in post.body["alerts"]]
    assert sorted(heard) == sorted(f"camera-{number}" for number in range(60))
    assert set(receiver.keys.values()) == {1}
    for other in others:
        other.dispose()


@on_sqlite
@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_jumps_an_hour_loses_and_doubles_nothing(
    hours: int, alarms: Alarms, delivery: Delivery, receiver: Receiver, clock: Clock
) -> None:
    alarms.fire("Before", now=clock())
    left = outbox.claim(delivery._db, "hook", "a process that dies", clock(), 30)
    alarms.fire("Between", now=clock())
    clock.advance(hours=hours)
    alarms.fire("After", now=clock())
    empty(delivery)
    clock.advance(seconds=40)
    empty(delivery)
    assert left is not None and len(receiver.keys) == 3 and set(receiver.keys.values()) == {1}


@on_sqlite
def test_a_database_that_is_away_after_the_sending_does_not_make_it_sent_twice(
    alarms: Alarms, house: Settings, receiver: Receiver, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    note_sent, failures = outbox.note_sent, [StorageUnavailableError("the database", "gone")] * 3

    def away_at_first(*given: Any) -> bool:
        if failures:
            raise failures.pop()
        return note_sent(*given)

    monkeypatch.setattr(outbox, "note_sent", away_at_first)
    monkeypatch.setattr(delivery_module, "_NOTING_PAUSE_S", 0.01)
    (number,) = alarms.fire()
    empty(Delivery(house, db))
    assert failures == [] and len(receiver.posts) == 1
    assert told(db, number) == [("hook", "fired", "sent", 1)]


@on_sqlite
def test_a_channel_that_the_settings_lost_is_told_once_and_given_up_late(
    house: Settings, db: Database, clock: Clock, eventually: Callable[..., None]
) -> None:
    (number,) = Alarms(db, house).fire(notify=("gone",))
    delivery = Delivery(house, db, clock=clock)
    with capture_logs() as logs:
        delivery.step()
        delivery.step()
    assert [line["channel"] for line in logs if line["event"] == "notification_channel_unknown"] == ["gone"]
    assert told(db, number) == [("gone", "fired", "waiting", 0)]
    clock.advance(days=4)
    Delivery(house, db, clock=clock).step()
    assert told(db, number) == [("gone", "fired", "failed", 0)]
