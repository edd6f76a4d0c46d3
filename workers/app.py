"""The Celery app: queues, routing, delivery; on Redis or inside one process.

The queue is a hint and the database the truth: every setting here may lose a message or deliver it
twice, and neither harms (see `workers.tasks` and `workers.sweeper`).
"""

from __future__ import annotations

from celery import Celery
from kombu import Exchange, Queue

from observatory.instruments import families
from observatory.settings import Settings
from observatory.storage.frames import Priority
from workers import embedded_queue, redis_queue

PROCESS_FRAME = "heliowatch.process_frame"
COMPOSE = "heliowatch.compose_set"
COMPOSITES = "composites"  # a queue of their own: the depth of the others is compared with waiting frames
MAKE_NIGHT = "heliowatch.make_night"
NIGHTS = "nights"
ENHANCE = "heliowatch.enhance"
CUTOUTS = "cutouts"  # somebody waits for each of them
REPROCESS = "heliowatch.reprocess_frame"
REPROCESSING = "reprocessing"  # the last queue that anybody empties
_VISIBILITY_TIMEOUT_S = 3600  # longer than any task; the sweeper does not wait for it


def queue_name(family: str, priority: Priority) -> str:
    """Queue of one pipeline at one priority."""
    return f"{family}.{priority.value}"


def queue_names() -> list[str]:
    """All queues in the order in which workers empty them.

    Live frames, cut-outs that somebody waits for, composites, pictures of nights, archives, what is done again.
    """
    live, backfill = (
        [queue_name(family, priority) for family in families()]
        for priority in (Priority.LIVE, Priority.BACKFILL)
    )
    return [*live, CUTOUTS, COMPOSITES, NIGHTS, *backfill, REPROCESSING]


def make_app(settings: Settings) -> Celery:
    """Build the Celery app for these settings.

    Queues hang on the anonymous exchange: routing then needs no binding in Redis, so a wiped
    Redis takes messages again at once, without anybody declaring anything anew.
    """
    broker_url = "memory://localhost/" if settings.is_embedded else settings.broker_url
    app = Celery("heliowatch", broker=broker_url, set_as_current=True)
    anonymous = Exchange("", type="direct")
    app.conf.update(
        task_queues=[Queue(name, anonymous, routing_key=name) for name in queue_names()],
        task_default_queue=queue_names()[0],
        task_default_exchange="",
        task_default_routing_key=queue_names()[0],
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=0 if settings.is_embedded else 1,
        # A child warms its networks up before it says that it is up; CUDA alone takes longer than
        # the default of 4 s, after which it would be killed and started again, for ever.
        worker_proc_alive_timeout=120.0,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport=_transport(settings),
        broker_transport_options=_transport_options(settings),
        broker_pool_limit=2,
        task_publish_retry=False,
        accept_content=["json"],
        imports=[
            "workers.tasks",
            "workers.composites",
            "workers.nights",
            "workers.cutouts",
            "workers.reprocess",
        ],
    )
    app.set_default()  # for threads that only send: what is current belongs to one thread
    return app


def _transport(settings: Settings) -> str | None:
    if settings.is_embedded:
        return embedded_queue.TRANSPORT
    return redis_queue.TRANSPORT if settings.broker_url.startswith(("redis:", "rediss:")) else None


def _transport_options(settings: Settings) -> dict[str, object]:
    if settings.is_embedded:
        return {}
    return {
        "visibility_timeout": _VISIBILITY_TIMEOUT_S,
        "queue_order_strategy": "priority",
        "priority_steps": [0],
        "socket_timeout": 10,
        "socket_connect_timeout": 3,
        "socket_keepalive": True,
        "health_check_interval": 10,
        # Publishing gives up at once (the sweeper comes later); by default it holds the ingester for
        # six seconds each time. Workers wait for a broker by `broker_connection_max_retries`.
        "max_retries": 1,
        "interval_start": 0,
    }
