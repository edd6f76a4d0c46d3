"""What no channel does: tell its secret to anybody, work with an address that is none, be led by an alert's words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from observatory.errors import SettingsError
from observatory.settings import Settings, load_settings
from observatory.storage.session import Database
from service.notify.delivery import Delivery
from service.notify.failures import without_secrets
from tests.service.alarms import (
    Alarms,
    Clock,
    empty,
    reasons,
    told,
    webhook,
    with_channels,
)
from tests.service.receivers import Receiver, mail_server, mute_server
from tests.service.telescope import on_sqlite

SECRET = "hunter2-s3cr3t"


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


def mail_house(settings: Settings, port: int, **more: Any) -> Settings:
    url = f"mailto://ops:{SECRET}@127.0.0.1:{port}?from=watch@example.org&to=ops@example.org&mode=insecure"
    return with_channels(settings, {"hook": {"kind": "apprise", "url": url}}, send_patience_s=1.0, **more)


@on_sqlite
def test_a_mail_is_one_mail_whatever_its_labels_say(settings: Settings, db: Database) -> None:
    with mail_server() as box:
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
