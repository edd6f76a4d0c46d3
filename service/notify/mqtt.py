"""MQTT: the state of each alert as a retained message, which Home Assistant finds by itself."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from observatory.errors import SettingsError
from observatory.notification_settings import MqttChannel
from observatory.storage.outbox import Claimed
from service.notify.failures import DeliveryFailedError, unreadable
from service.notify.message import address_of, one_line

_AT_LEAST_ONCE = 1


class Mqtt:
    """Publishes alerts to one broker.

    Topics are made of a hash of rule and alert: names with ``/``, ``+`` or ``#`` can do nothing there.
    """

    def __init__(self, channel: MqttChannel, base: str, patience_s: float) -> None:
        self._channel = channel
        self._base = base
        self._patience_s = patience_s

    def send(self, claimed: Claimed) -> None:
        """Publish the alerts of a notification; returns when the broker has taken them all.

        Raises
        ------
        DeliveryFailedError
        """
        try:
            password = self._channel.secret()
        except SettingsError as error:
            raise unreadable(claimed.channel, error) from None
        client, answered = self._client(password)
        deadline = time.monotonic() + self._patience_s
        try:
            client.connect(self._channel.host, self._channel.port, keepalive=30)
            client.loop_start()
            self._await_welcome(answered, deadline)
            published = [
                client.publish(topic, payload, qos=_AT_LEAST_ONCE, retain=True)
                for alert in claimed.alerts
                for topic, payload in self._messages(alert, claimed)
            ]
            for message in published:
                message.wait_for_publish(max(0.0, deadline - time.monotonic()))
                if not message.is_published():
                    raise DeliveryFailedError(
                        f"the broker did not take all of it within {self._patience_s:g} s"
                    )
            client.disconnect()
        except (OSError, ValueError, RuntimeError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            raise DeliveryFailedError(f"the broker cannot be reached: {reason}") from None
        finally:
            client.loop_stop()

    def _client(self, password: str | None) -> tuple[Any, _Welcome]:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        client = Client(CallbackAPIVersion.VERSION2)
        client.connect_timeout = self._patience_s
        client.max_inflight_messages_set(1000)
        answered = _Welcome()
        client.on_connect = answered
        if self._channel.user is not None or password is not None:
            client.username_pw_set(self._channel.user or "", password)
        if self._channel.tls:
            client.tls_set()
        return client, answered

    def _await_welcome(self, answered: _Welcome, deadline: float) -> None:
        if not answered.came.wait(max(0.0, deadline - time.monotonic())):
            raise DeliveryFailedError(f"the broker did not answer within {self._patience_s:g} s")
        if answered.refusal is not None:
            raise DeliveryFailedError(f"the broker refused us: {answered.refusal}")

    def _messages(self, alert: Mapping[str, Any], claimed: Claimed) -> Iterator[tuple[str, bytes]]:
        word = orjson.dumps([alert["rule"], alert["alert_key"]])
        slug = hashlib.sha256(word).hexdigest()[:16]
        topic = f"{self._channel.prefix}/alerts/{slug}"
        if self._channel.discovery_prefix:
            yield self._discovery(alert, slug, topic)
        attributes = {
            "alertname": alert["rule"],
            **alert["labels"],
            **alert["annotations"],
            "since": alert["starts_at"],
            "until": alert["ends_at"],
            "idempotency_key": claimed.key,
            "url": address_of(alert, self._base),
        }
        yield f"{topic}/attributes", orjson.dumps(attributes)
        yield f"{topic}/state", b"OFF" if alert["status"] == "resolved" else b"ON"

    def _discovery(self, alert: Mapping[str, Any], slug: str, topic: str) -> tuple[str, bytes]:
        identity = f"{self._channel.prefix.replace('/', '_')}_{slug}"
        told = {
            "name": one_line(f"{alert['rule']} {alert['labels'].get('instrument', '')}", 120),
            "unique_id": identity,
            "default_entity_id": f"binary_sensor.{identity.lower()}",
            "device_class": "problem",
            "state_topic": f"{topic}/state",
            "json_attributes_topic": f"{topic}/attributes",
            "payload_on": "ON",
            "payload_off": "OFF",
            "device": {"identifiers": [self._channel.prefix], "name": "Heliowatch"},
            "origin": {"name": "Heliowatch"},
        }
        return f"{self._channel.discovery_prefix}/binary_sensor/{identity}/config", orjson.dumps(told)


class _Welcome:
    """The broker's answer to our connecting."""

    def __init__(self) -> None:
        self.came = threading.Event()
        self.refusal: str | None = None

    def __call__(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any = None) -> None:
        """Note the answer."""
        if reason.is_failure:
            self.refusal = one_line(str(reason), 100)
        self.came.set()
