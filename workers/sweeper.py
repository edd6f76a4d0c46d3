"""The sweeper: compares the database with the queue and puts right what the broker forgot.

A worker that fell silent loses its frames; frames that wait in the database but not on the queue
are published again. It asks nobody's permission and harms nothing when it is wrong: a frame that
is published twice is claimed once.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import structlog

from observatory.errors import HeliowatchError
from observatory.settings import Settings
from observatory.storage import events, frames, workers
from observatory.storage.session import Database
from workers.composites import CompositeSweep
from workers.coverage import CoverageSweep
from workers.cutouts import CutoutSweep
from workers.dispatcher import Dispatcher
from workers.nights import NightSweep
from workers.publisher import Publisher
from workers.queues import OwnQueue

log = structlog.get_logger(__name__)

_FORGET_WORKERS_S = 3600.0


class Sweeper:
    """Thread that sweeps every few seconds."""

    def __init__(self, settings: Settings, db: Database, publisher: Publisher) -> None:
        self._settings, self._db, self._publisher = settings, db, publisher
        self._composites = CompositeSweep(settings, db)
        self._nights = NightSweep(settings, db)
        self._cutouts = CutoutSweep(settings, db)
        self._coverage = CoverageSweep(settings, db)
        self._reprocessing = Dispatcher(settings, db)
        self._own_queue = OwnQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        """Sweep at once, then at intervals."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the sweep that runs."""
        self._stop.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while True:
            try:
                self.sweep()
            except HeliowatchError as error:
                log.warning("sweep_failed", error=str(error))
            except Exception:
                log.exception("sweep_defect")
            if self._stop.wait(self._settings.sweeper.interval_s):
                return

    def sweep(self) -> int:
        """Sweep once; return how many frames were published again."""
        now = datetime.now(UTC)
        worker = self._settings.worker
        waiting, failed = frames.release_abandoned(self._db, now, worker.lease_s, worker.max_attempts)
        if waiting or failed:
            log.warning("abandoned_frames", waiting=waiting, failed=failed)
        events.prune(self._db, now, self._settings.sweeper.keep_events_days)
        workers.forget_dead(self._db, now, _FORGET_WORKERS_S)
        again = sum(self._republish(queue, now) for queue in frames.waiting(self._db))
        self._cutouts.sweep(now)
        self._composites.sweep(now)
        self._nights.sweep(now)
        self._reprocessing.sweep(now)
        self._coverage.sweep(now)
        return again

    def _republish(self, queue: frames.Waiting, now: datetime) -> int:
        depth = self._publisher.depth(queue.family, queue.priority)
        room = self._settings.sweeper.batch - (depth or 0)
        if depth is None or depth >= queue.count or room <= 0:
            return 0
        tasks = frames.due(self._db, queue.family, queue.priority, now, self._stale(now), room)
        if not tasks:
            return 0
        frames.mark_published(self._db, tasks, now)
        if not self._publisher.publish(tasks):
            return 0
        log.info("republished", queue=f"{queue.family}.{queue.priority}", frames=len(tasks))
        return len(tasks)

    def _stale(self, now: datetime) -> datetime:
        """Publications before this moment count as forgotten."""
        if self._settings.is_embedded:
            # It hands all messages out at once, so its depth tells nothing.
            return self._own_queue.knows_since(now)
        return now - timedelta(seconds=self._settings.sweeper.unclaimed_s)
