"""Single messages to a queue of the current app, and how many lie there."""

from __future__ import annotations

import structlog
from celery import current_app
from kombu.exceptions import KombuError

log = structlog.get_logger(__name__)


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
