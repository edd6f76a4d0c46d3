"""The queue inside one process: nothing is slept through, and nobody looks in vain."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from celery import Celery
from kombu import Connection, Consumer, Exchange, Queue

from observatory.settings import Settings
from workers import embedded_queue
from workers.app import make_app

QUEUE = Queue("frames", Exchange("", type="direct"), routing_key="frames")


@pytest.fixture
def connection() -> Iterator[Connection]:
    with Connection("memory://localhost/", transport=embedded_queue.TRANSPORT) as made:
        made.default_channel.queue_declare("frames")
        made.default_channel.queue_purge("frames")
        yield made


def send(connection: Connection, number: int) -> None:
    connection.Producer().publish(number, exchange="", routing_key="frames", serializer="json")


def test_the_embedded_app_uses_it(settings: Settings):
    app: Celery = make_app(settings.model_copy(update={"broker_url": "memory://"}))
    assert isinstance(app.connection_for_read().transport, embedded_queue.Transport)


def test_a_message_wakes_who_sleeps_and_none_is_lost(connection: Connection):
    heard: list[int] = []

    def produce() -> None:
        with Connection("memory://localhost/", transport=embedded_queue.TRANSPORT) as own:
            for number in range(300):
                send(own, number)

    with Consumer(connection.channel(), QUEUE, callbacks=[lambda body, _: heard.append(body)], no_ack=True):
        producers = [threading.Thread(target=produce) for _ in range(3)]
        for producer in producers:
            producer.start()
        while len(heard) < 900:
            connection.drain_events(timeout=10)
        for producer in producers:
            producer.join()
    assert sorted(heard) == sorted(list(range(300)) * 3)


def test_it_sleeps_no_longer_than_it_is_told(connection: Connection):
    with Consumer(connection.channel(), QUEUE, no_ack=True):
        began = time.monotonic()
        with pytest.raises(socket.timeout):
            connection.drain_events(timeout=0.05)
        assert 0.04 < time.monotonic() - began < 1


def test_who_sleeps_can_be_called_to_something_else(connection: Connection):
    with Consumer(connection.channel(), QUEUE, no_ack=True):
        began = time.monotonic()
        caller = threading.Timer(0.05, embedded_queue.wake_all)
        caller.start()
        with pytest.raises(socket.timeout):
            connection.drain_events(timeout=20)
        assert time.monotonic() - began < 10
        caller.join()
