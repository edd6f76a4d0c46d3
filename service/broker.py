"""Tasks that the service sends to the workers, by name: it knows nothing of what they do."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import structlog

from observatory.settings import Settings

if TYPE_CHECKING:
    from celery import Celery

_log = structlog.get_logger()

ENHANCE = "heliowatch.enhance"
"""The worker's task that makes a cut-out; a test compares the names."""

_WORKERS_APP = "heliowatch"  # name of the app that an embedded worker has made in this process
_TIMEOUT_S = 3


class TaskSender:
    """Puts tasks on a queue of the broker of the settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __call__(self, task: str, number: int, queue: str) -> bool:
        """Send the number of a row; False when no broker took it: the workers' sweep finds the row then."""
        app = self._app
        if app is None:
            return False
        from kombu import Exchange, Queue
        from kombu.exceptions import KombuError

        if queue not in app.amqp.queues:
            # On the anonymous exchange, as the workers declare it: a wiped Redis needs no binding.
            app.amqp.queues.add(Queue(queue, Exchange("", type="direct"), routing_key=queue))
        connection = app.connection_for_write()
        lost = (KombuError, OSError, *connection.connection_errors, *connection.channel_errors)
        try:
            app.send_task(task, args=(number,), queue=queue, retry=False)
        except lost as error:
            _log.warning("broker_unavailable", error=str(error))
            return False
        return True

    @property
    def _app(self) -> Celery | None:
        """App to send with; None where the queue should be in this process, and no worker is."""
        if not self._settings.is_embedded:
            return self._own_app
        from celery import current_app

        return current_app if current_app.main == _WORKERS_APP else None

    @cached_property
    def _own_app(self) -> Celery:
        from celery import Celery

        app = Celery("heliowatch-service", broker=self._settings.broker_url, set_as_current=False)
        app.conf.update(
            task_default_exchange="",
            task_ignore_result=True,
            task_publish_retry=False,
            broker_pool_limit=2,
            broker_transport_options={
                "queue_order_strategy": "priority",
                "priority_steps": [0],
                "socket_timeout": _TIMEOUT_S,
                "socket_connect_timeout": _TIMEOUT_S,
                "max_retries": 1,
                "interval_start": 0,
            },
        )
        return app
