"""Puts frames on the queue; a broker that is gone delays them and stops nobody."""

from __future__ import annotations

import time
from collections.abc import Iterable

import structlog
from celery import Celery
from kombu.exceptions import KombuError

from observatory.storage.frames import Priority, Task
from workers.app import PROCESS_FRAME, queue_name

log = structlog.get_logger(__name__)

_PAUSE_S = 3.0


class Publisher:
    """Sends tasks; after a failure it rests a while and leaves the frames to the sweeper."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._rests_until = 0.0
        self._errors: tuple[type[BaseException], ...] = (
            KombuError,
            OSError,
            *app.connection_for_write().connection_errors,
            *app.connection_for_write().channel_errors,
        )

    def publish(self, tasks: Iterable[Task]) -> bool:
        """Send tasks that carry the frame's id alone; False when the broker did not take them all."""
        if time.monotonic() < self._rests_until:
            return False
        try:
            with self._app.producer_or_acquire() as producer:
                for task in tasks:
                    self._app.send_task(
                        PROCESS_FRAME,
                        args=(task.frame_id,),
                        queue=queue_name(task.family, task.priority),
                        producer=producer,
                        retry=False,
                    )
        except self._errors as error:
            self._rests_until = time.monotonic() + _PAUSE_S
            log.warning("broker_unavailable", error=str(error))
            return False
        return True

    def depth(self, family: str, priority: Priority) -> int | None:
        """Messages on a queue; None when the broker cannot be asked."""
        try:
            with self._app.connection_for_read() as connection:
                return int(connection.default_channel._size(queue_name(family, priority)))
        except self._errors as error:
            log.warning("broker_unavailable", error=str(error))
            return None
