"""Redis as a queue: a message that cannot be acknowledged keeps no place.

A worker takes as many messages as it has processes, and counts one as under way until Redis has heard that it was
done. The messaging library goes on counting when Redis cannot be told, because it was restarted meanwhile: with all
places taken so the worker asks for no message again, notices no lost connection either, and stands still for ever
while its heart beats.
"""

from __future__ import annotations

from typing import Any

from kombu.transport import redis, virtual

#: Name by which Celery finds the transport.
TRANSPORT = f"{__name__}.Transport"


class QoS(redis.QoS):
    """What is under way, by this process's own count.

    What Redis still holds it delivers once more; the frame's row then says that it is done.
    """

    def ack(self, delivery_tag: str) -> None:
        try:
            super().ack(delivery_tag)
        except Exception:
            virtual.QoS.ack(self, delivery_tag)
            raise

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001 - kombu's
        try:
            super().reject(delivery_tag, requeue=requeue)
        except Exception:
            virtual.QoS.ack(self, delivery_tag)
            raise


class Channel(redis.Channel):
    """A channel whose places become free."""

    QoS = QoS


class Transport(redis.Transport):
    """The Redis transport, going on after a restart of Redis."""

    Channel: Any = Channel
