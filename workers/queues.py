"""Single messages to a queue of the current app, and how many lie there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import structlog
from celery import current_app
from kombu.exceptions import KombuError

log = structlog.get_logger(__name__)

_FORGOTTEN_EMBEDDED = timedelta(minutes=10)


class OwnQueue:
    """The embedded queue: it lives and dies with this process, and forgets nothing before that."""

    def __init__(self) -> None:
        self._since = datetime.now(UTC)

    def knows_since(self, now: datetime) -> datetime:
        """What was put on a queue before this moment counts as forgotten.

        What another process on the same database put on a queue of its own is waited for ten minutes at most.
        """
        self._since = min(self._since, now)  # the clock may be set back
        return max(self._since, now - _FORGOTTEN_EMBEDDED)


def send(task: str, arguments: tuple[int, ...], queue: str) -> bool:
    """Put a task on a queue; False when the broker did not take it."""
    try:
        current_app.send_task(task, args=arguments, queue=queue, retry=False)
    except _broker_errors() as error:
        log.warning("broker_unavailable", error=str(error))
        return False
    return True


def depth(queue: str) -> int | None:
    """Messages on a queue; None when the broker cannot be asked."""
    try:
        with current_app.connection_for_read() as connection:
            return int(connection.default_channel._size(queue))
    except _broker_errors() as error:
        log.warning("broker_unavailable", error=str(error))
        return None


def _broker_errors() -> tuple[type[BaseException], ...]:
    connection = current_app.connection_for_write()
    return (KombuError, OSError, *connection.connection_errors, *connection.channel_errors)
