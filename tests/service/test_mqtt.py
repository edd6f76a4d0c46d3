"""Alerts over MQTT, as Home Assistant finds them: a real broker, and a subscriber of the same library."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import select

from observatory.settings import Settings
from observatory.storage.notification_schema import notifications
from observatory.storage.session import Database
from service.notify.delivery import Delivery
from tests.servers import free_port
from tests.servers_mqtt import MqttBroker
from tests.service.alarms import Alarms, empty, with_channels
from tests.service.receivers import mute_server
from tests.service.telescope import on_sqlite

SECRET = "hunter2-s3cr3t"
pytestmark = on_sqlite


@pytest.fixture(scope="module")
def broker() -> Iterator[MqttBroker]:
    server = MqttBroker("observer", SECRET)
    yield server
    server.stop()


def house(settings: Settings, port: int, patience_s: float = 30.0, **more: Any) -> Settings:
    channel = {"kind": "mqtt", "host": "127.0.0.1", "port": port, **more}
    return with_channels(settings, {"hook": channel}, send_patience_s=patience_s)


def retained(port: int, wanted: int) -> dict[str, bytes]:
    """What a subscriber that comes later is told."""
    found: dict[str, bytes] = {}
    complete = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set("observer", SECRET)
    client.on_connect = lambda *_: client.subscribe("#", qos=1)

    def take(_: Any, __: Any, message: Any) -> None:
        found[message.topic] = message.payload
        if len(found) >= wanted:
            complete.set()

    client.on_message = take
    client.connect("127.0.0.1", port)
    client.loop_start()
    complete.wait(30)
    client.disconnect()
    client.loop_stop()
    return found


def test_home_assistant_finds_an_alert_and_its_state(
    settings: Settings, db: Database, broker: MqttBroker
) -> None:
    told = house(settings, broker.port, user="observer", password=SECRET)
    alarms, delivery = Alarms(db, told), Delivery(told, db)
    (number,) = alarms.fire(instrument="kso/+/#")
    empty(delivery)
    found = retained(broker.port, 3)
    (config,) = (json.loads(data) for topic, data in found.items() if topic.endswith("/config"))
    assert config["device_class"] == "problem" and config["name"] == "HalphaDegraded kso/+/#"
    assert found[config["state_topic"]] == b"ON"
    attributes = json.loads(found[config["json_attributes_topic"]])
    assert attributes["severity"] == "warning" and len(attributes["idempotency_key"]) == 32
    assert all("+" not in topic and "#" not in topic for topic in found)
    alarms.resolve(number, instrument="kso/+/#")
    empty(delivery)
    after = retained(broker.port, 3)
    assert after[config["state_topic"]] == b"OFF" and len(after) == 3


def test_a_broker_that_refuses_is_down_or_mute_is_tried_again_and_no_secret_is_told(
    settings: Settings, db: Database, broker: MqttBroker
) -> None:
    with mute_server() as mute:
        houses = [
            house(settings, broker.port, user="observer", password=f"{SECRET}-wrong"),
            house(settings, free_port(), user="observer", password=SECRET),
            house(settings, mute, 1.0, user="observer", password=SECRET),
        ]
        for number, told in enumerate(houses):
            Alarms(db, told).fire(f"Rule{number}")
            empty(Delivery(told, db))
    with db.read() as connection:
        rows = connection.execute(select(notifications.c.state, notifications.c.reason)).all()
    assert {row.state for row in rows} == {"waiting"}
    words = " | ".join(str(row.reason) for row in rows)
    assert "refused us: Not authorized" in words and "Connection refused" in words and "within 1 s" in words
    assert SECRET not in words
