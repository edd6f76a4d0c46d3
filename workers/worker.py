"""Running the worker: as processes of its own, or inside one process with everything else."""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import cv2
import structlog
from billiard import pool as billiard_pool
from celery import Celery
from celery.signals import worker_process_init, worker_process_shutdown
from celery.worker import WorkController
from celery.worker import state as worker_state
from threadpoolctl import threadpool_limits

from observatory.settings import Device, Settings
from observatory.storage.session import Database
from workers import embedded_queue, metrics, tasks
from workers.app import make_app, queue_names
from workers.context import Heartbeat
from workers.memory import keep_memory, set_aside, take_back
from workers.model_watch import ModelWatch, model_facts
from workers.patience import insist_no_more
from workers.pipelines import Pipelines

_FINISH_S = 15.0  # for the frames at hand, when the embedded worker is told to stop
_AWAIT_PARENT_TRIES = 20  # of a tenth of a second each

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Life:
    """What goes on in a working process beside its frames."""

    heartbeat: Heartbeat
    watch: ModelWatch

    def stop(self) -> None:
        """End it, and sign off."""
        self.watch.stop()
        self.heartbeat.stop()
        take_back()


def start_desk(settings: Settings) -> Life:
    """Set this process up for work: sessions, warm-up, heartbeat, watch over its models.

    Raises
    ------
    ProviderUnavailableError
        When a device was asked for and is not given.
    ModelError
        When a model file is missing or altered.
    """
    keep_memory()
    # Frames run beside each other: threads within one only get in their way. BLAS's spin while they wait.
    cv2.setNumThreads(1)
    threadpool_limits(1, "blas")
    desk = tasks.sit_down(settings)
    desk.db.check_schema()
    desk.deployed.warm_up()
    facts = {"models": model_facts(desk)}
    heartbeat = Heartbeat(desk.db, desk.name, "worker", settings.worker.heartbeat_s, facts)
    heartbeat.start()
    watch = ModelWatch(desk, heartbeat)
    watch.start()
    set_aside()
    log.info("worker_ready", worker=desk.name, **facts)
    return Life(heartbeat, watch)


def run_worker(settings: Settings, queues: list[str] | None = None) -> int:
    """Work until told to stop (SIGTERM: finish what runs, then end); return the exit code.

    Everything is tried in this process first, so that a missing device or model is one clear
    error at start-up and not a child that dies again and again.
    """
    check_ready(settings)
    if settings.worker.metrics_port is not None:
        metrics.serve(settings.worker.metrics_port)
    app = make_app(settings)
    lives: dict[int, Life] = {}

    def begin(**_: object) -> None:
        lives[os.getpid()] = start_desk(settings)

    def end(**_: object) -> None:
        if os.getpid() in lives:
            lives[os.getpid()].stop()

    worker_process_init.connect(begin, weak=False)
    worker_process_shutdown.connect(end, weak=False)
    _end_without_long_farewells()
    worker = app.Worker(
        pool="prefork",
        concurrency=settings.worker.processes,
        queues=queues or queue_names(),
        loglevel=settings.log.level,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        hostname=f"heliowatch-{os.getpid()}@{socket.gethostname()}",
    )
    worker.start()
    return int(worker.exitcode or 0)


def _end_without_long_farewells() -> None:
    """Let children that end wait two seconds, not thirty, until the parent has heard of all that they did.

    A message that a child takes up while the parent is told to stop is one that the parent has given up:
    it listens no more, and the child would wait in vain, for longer than those who stop us have patience.
    Nothing is lost by it: the frame's row says what was done, and the message comes again.
    """
    billiard_pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = _AWAIT_PARENT_TRIES


def check_ready(settings: Settings) -> None:
    """Open database and models once and close them again, before anything is forked.

    A device other than the CPU is tried in a process of its own: what a CUDA context leaves
    behind in this one would break the children that are forked from it.
    """
    db = Database(settings.resolved_database_url)
    db.check_schema()
    db.dispose()
    if settings.runtime.device is Device.CPU:
        provider = _try_models(settings)
    else:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as other:
            provider = other.submit(_try_models, settings).result()
    log.info("provider_given", device=settings.runtime.device.value, provider=provider)


def _try_models(settings: Settings) -> str:
    """Make and run every network; return the provider that was given."""
    desk = tasks.Desk(settings)
    for pipeline in Pipelines(desk.runtime).all():
        pipeline.warm_up()
    return desk.runtime.provider


class EmbeddedWorker:
    """The same app and tasks in threads of this process, on the in-memory broker.

    Threads with unlimited prefetch: with a prefetch limit the thread pool stalls on this broker
    (measured: 42 of 1 500 tasks done). The networks release the interpreter's lock.
    """

    def __init__(self, settings: Settings, app: Celery) -> None:
        self._settings, self._app = settings, app
        self._controller: WorkController | None = None
        self._thread: threading.Thread | None = None
        self._life: Life | None = None

    def start(self) -> None:
        """Set up and begin to work."""
        insist_no_more(is_ending=False)
        self._life = start_desk(self._settings)
        worker_state.should_stop = None
        self._controller = WorkController(
            app=self._app,
            pool_cls="threads",
            concurrency=self._settings.worker.processes,
            queues=queue_names(),
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            hostname="heliowatch@embedded",
        )
        self._thread = threading.Thread(target=self._controller.start, name="worker", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the frames at hand and end."""
        worker_state.should_stop = 0
        embedded_queue.wake_all()
        if self._thread is not None:
            self._thread.join(timeout=_FINISH_S)
            if self._thread.is_alive():
                insist_no_more()  # what waits for a disk with room would hold up the end of this process
        worker_state.should_stop = None
        if self._life is not None:
            self._life.stop()
