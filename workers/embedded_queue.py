"""The queue inside one process: a message is taken when it comes, not when somebody looks again.

The in-memory transport of the messaging library looks at all queues again and again with a pause between: half
of it is added to every frame, and every look takes the interpreter from a thread that works. This one sleeps
until something is put on a queue.
"""

from __future__ import annotations

import threading
import time
from queue import Empty
from typing import Any

from kombu.transport import memory

#: Name by which Celery finds the transport.
TRANSPORT = f"{__name__}.Transport"


class _Bell:
    """Counts what happened, and lets others sleep until it happens again."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    @property
    def count(self) -> int:
        """How often it rang."""
        return self._count

    def ring(self) -> None:
        """Wake those who wait."""
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    def wait_beyond(self, count: int, timeout_s: float | None) -> bool:
        """Sleep until it rang more often than ``count`` says; False when that took too long."""
        with self._changed:
            return self._changed.wait_for(lambda: self._count > count, timeout_s)


_messages, _calls = _Bell(), _Bell()  # the queues are one for the whole process, too


def wake_all() -> None:
    """Let whoever waits for messages look whether there is something else to do, such as to stop."""
    _calls.ring()
    _messages.ring()


class Channel(memory.Channel):
    """A channel that rings when a message is put on a queue."""

    def _put(self, queue: str, message: Any, **options: Any) -> None:
        super()._put(queue, message, **options)
        _messages.ring()


class Transport(memory.Transport):
    """The in-memory transport, waiting instead of polling."""

    Channel = Channel

    def drain_events(self, connection: Any, timeout: float | None = None) -> None:
        """Deliver one message.

        Raises
        ------
        TimeoutError
            When none came in time, or all were woken for another reason.
        """
        until = None if timeout is None else time.monotonic() + timeout
        called = _calls.count
        while True:
            before = _messages.count  # what comes after this line is not slept through
            try:
                self.cycle.get(self._deliver, timeout=timeout)
            except Empty:
                left = None if until is None else until - time.monotonic()
                is_late = left is not None and left <= 0
                if is_late or not _messages.wait_beyond(before, left) or _calls.count > called:
                    raise TimeoutError from None
            else:
                return
