"""What becomes of a notification: once where nothing fails, again where something does, and never a secret."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from structlog.testing import capture_logs

from observatory.errors import SettingsError, StorageUnavailableError
from observatory.settings import Settings, load_settings
from observatory.storage import acknowledgements, alert_catalogue, outbox, silences
from observatory.storage.notification_schema import notifications as rows
from observatory.storage.session import Database
from service.notify import delivery as delivery_module
from service.notify.delivery import Delivery
from service.notify.failures import without_secrets
from tests.service.alarms import Alarms, Clock, Escalation, Kind, empty, transition, webhook, with_channels
from tests.service.receivers import Receiver, mail_server, mute_server, web_server
from tests.service.telescope import on_sqlite

SECRET = "hunter2-s3cr3t"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with web_server(Receiver()) as server:
        yield server


@pytest.fixture
def house(settings: Settings, receiver: Receiver) -> Settings:
    return with_channels(settings, {"hook": webhook(receiver.url), "boss": webhook(receiver.url + "/boss")})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def delivery(house: Settings, db: Database, clock: Clock) -> Delivery:
    return Delivery(house, db, clock=clock)


@pytest.fixture
def alarms(house: Settings, db: Database) -> Alarms:
    return Alarms(db, house)


def told(db: Database, alert_id: int) -> list[tuple[str, str, str, int]]:
    alert = alert_catalogue.get(db, alert_id, datetime.now(UTC))
    assert alert is not None
    return [
        (n["channel"], n["kind"], n["dropped"] or n["state"], n["attempts"]) for n in alert["notifications"]
    ]


def reasons(db: Database) -> list[str | None]:
    with db.read() as connection:
        return list(connection.execute(select(rows.c.reason).order_by(rows.c.id)).scalars())


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
def test_a_receiver_that_does_not_answer_in_time_is_tried_again_and_its_address_told_to_nobody(
    settings: Settings, db: Database, clock: Clock
) -> None:
    with mute_server() as port:
        channels = {"hook": webhook(f"http://127.0.0.1:{port}/{SECRET}")}
        house = with_channels(settings, channels, send_patience_s=0.5)
        (number,) = Alarms(db, house).fire()
        with capture_logs() as logs:
            empty(Delivery(house, db, clock=clock))
    assert told(db, number) == [("hook", "fired", "waiting", 1)]
    assert "did not answer within 0.5 s" in str(reasons(db)) and SECRET not in str(reasons(db)) + str(logs)


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


def mail_house(settings: Settings, port: int, **more: Any) -> Settings:
    url = f"mailto://ops:{SECRET}@127.0.0.1:{port}?from=watch@example.org&to=ops@example.org&mode=insecure"
    return with_channels(settings, {"hook": {"kind": "apprise", "url": url}}, send_patience_s=1.0, **more)


@on_sqlite
def test_a_mail_is_one_mail_whatever_its_labels_say(settings: Settings, db: Database) -> None:
    with mail_server() as box:
        house = mail_house(settings, box.port)
        house = with_channels(
            settings,
            {
                "hook": {
                    "kind": "apprise",
                    "url": f"mailto://127.0.0.1:{box.port}?from=watch@example.org&to=ops@example.org&mode=insecure",
                }
            },
        )
        delivery = Delivery(house, db)
        Alarms(db, house).storm(
            [("Halpha\r\nBcc: evil@example.org\r\n\r\nDegraded", "kso\u2028-halpha")],
            annotations={"summary": "<script>alert(1)</script>\r\n.\r\nMAIL FROM:<evil@example.org>\x00"},
        )
        empty(delivery)
    (mail,) = box.mails
    assert mail["Bcc"] is None and mail["To"] is not None and "evil" not in mail["To"]
    assert "\n" not in mail["Subject"].strip() or mail["Subject"].count("\n") == mail["Subject"].count("\n ")
    assert len(mail["X-Heliowatch-Key"]) == 32
    parts = {
        part.get_content_type(): part.get_payload(decode=True).decode()
        for part in mail.walk()
        if not part.is_multipart()
    }
    assert "<script>" not in parts.get("text/html", "")
    assert any("Key: " in body for body in parts.values())


@on_sqlite
def test_a_mail_server_that_is_down_or_mute_is_tried_again_and_no_secret_is_told(
    settings: Settings, db: Database, clock: Clock, capfd: pytest.CaptureFixture[str]
) -> None:
    from tests.servers import free_port

    with mute_server() as mute:
        for port in (free_port(), mute):
            house = mail_house(settings, port)
            with capture_logs() as logs:
                (number,) = Alarms(db, house).fire(f"Rule{port}")
                delivery = Delivery(house, db, clock=clock)
                empty(delivery)
            assert told(db, number) == [("hook", "fired", "waiting", 1)]
            assert logs[-1]["event"] == "notification_failed" and logs[-1]["reason"]
            assert SECRET not in str(logs) + str(reasons(db)) + "".join(capfd.readouterr())


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
@pytest.mark.parametrize(
    "url",
    [
        f"nonsense://{SECRET}@host", f"mailtos://user:{SECRET}@", f"slack://{SECRET}/x/y", f"{SECRET}",
        f"json://127.0.0.1:1/{SECRET}?+X-Token={SECRET}", f"discord://{SECRET}/",
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_told_without_what_it_holds(
    url: str, settings: Settings, db: Database, clock: Clock, capfd: pytest.CaptureFixture[str]
) -> None:
    house = with_channels(settings, {"hook": {"kind": "apprise", "url": url}}, send_patience_s=1.0)
    with capture_logs() as logs:
        Alarms(db, house).fire()
        empty(Delivery(house, db, clock=clock))
    assert logs and SECRET not in str(logs) + str(reasons(db)) + "".join(capfd.readouterr())


@on_sqlite
def test_secrets_come_from_files_and_a_changed_one_counts_at_once(
    settings: Settings, db: Database, receiver: Receiver, tmp_path: Path, clock: Clock
) -> None:
    address, token = tmp_path / "address", tmp_path / "token"
    token.write_text(f"{SECRET}\n")
    house = with_channels(
        settings, {"hook": {"kind": "webhook", "url_file": str(address), "bearer_file": str(token)}}
    )
    delivery = Delivery(house, db, clock=clock)
    Alarms(db, house).fire()
    empty(delivery)
    (reason,) = reasons(db)
    assert reason is not None and "cannot be read" in reason and str(address) not in reason
    address.write_text(receiver.url + "\n")
    clock.advance(minutes=1)
    empty(delivery)
    assert receiver.posts[0].headers["authorization"] == f"Bearer {SECRET}"
    assert SECRET not in house.model_dump_json()


@pytest.mark.parametrize(
    "channel",
    [
        {"kind": "webhook"}, {"kind": "webhook", "url": f"ftp://{SECRET}"}, {"kind": "pigeon"},
        {"kind": "webhook", "url": f"http://x/{SECRET}", "url_file": "/x"}, {"kind": "apprise"},
        {"kind": "mqtt", "host": "x", "password": SECRET, "password_file": "/x"},
        {"kind": "mqtt", "host": "x", "prefix": "a/#"},
    ],
)  # fmt: skip
def test_a_channel_that_cannot_work_is_refused_without_telling_its_secret(
    channel: dict[str, Any], settings: Settings
) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(notifications={"channels": {"ops": channel}})
    assert "notifications.channels.ops" in str(caught.value) and SECRET not in str(caught.value)


def test_words_lose_every_part_of_an_address_but_its_host() -> None:
    address = "mailtos://us%40er:pa%20ss@mail.example.org/room?token=abcd1234"
    words = without_secrets(f"{address} failed at mail.example.org: pa ss us@er abcd1234 pa%20ss", address)
    for part in ("pa ss", "us@er", "abcd1234", "pa%20ss", "us%40er"):
        assert part not in words
    assert "mail.example.org" in without_secrets("mail.example.org refused", address)


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
