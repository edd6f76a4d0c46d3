"""Keeps the queue of reprocessing filled, and no more than filled.

A million frames may wait in the database; on the queue lie a thousand at most, or, embedded, as many as
there are threads, so that a live frame never waits for more than one of them each. It is filled with
every sweep and, embedded, after every frame.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

from observatory.settings import Settings
from observatory.storage import reprocess, reprocess_jobs
from observatory.storage.reprocess import Item
from observatory.storage.session import Database
from workers import queues
from workers.app import REPROCESS, REPROCESSING

log = structlog.get_logger(__name__)

_OWN_QUEUE = queues.OwnQueue()  # of this process
_SELECTING_S = 2.0  # of one sweep: frames have their own to be swept


class Dispatcher:
    """Keeps the queue of reprocessing filled, and no more than filled.

    Parameters
    ----------
    send, measure : callable
        Put a frame on the queue; count the messages on it (None: the broker cannot be asked).
    """

    def __init__(
        self,
        settings: Settings,
        db: Database,
        send: Callable[[Item], bool] | None = None,
        measure: Callable[[], int | None] | None = None,
    ) -> None:
        self._settings, self._db = settings, db
        self._send = send or publish
        self._measure = measure or (lambda: queues.depth(REPROCESSING))
        self._lock = threading.Lock()
        self._most = settings.worker.processes if settings.is_embedded else settings.sweeper.batch

    def sweep(self, now: datetime) -> int:
        """Take back what dead workers held, write down jobs' frames, fill the queue, end jobs.

        Returns
        -------
        int
            Frames put on the queue.
        """
        worker = self._settings.worker
        back = reprocess.release_abandoned(self._db, now, worker.lease_s, worker.max_attempts)
        if back:
            log.warning("abandoned_reprocessing", waiting=back)
        self._select()
        sent = self.fill(now)
        reprocess_jobs.close_finished(self._db, now)
        return sent

    def _select(self) -> None:
        until = time.monotonic() + _SELECTING_S
        for job in reprocess_jobs.active(self._db):
            while time.monotonic() < until and reprocess_jobs.select_more(self._db, job.id):
                pass

    def fill(self, now: datetime) -> int:
        """Put frames that wait on the queue, as many as there is room for; return how many."""
        with self._lock:
            seen = reprocess.window(self._db, now, 2 * self._most)
            if not seen.due and not seen.published:
                return 0
            again, room = self._missing(seen, now)
            return self._put((again + list(seen.due))[: max(room, 0)], now)

    def _missing(self, seen: reprocess.Window, now: datetime) -> tuple[list[Item], int]:
        """Frames that the queue has forgotten, and how many it may take."""
        if self._settings.is_embedded:
            # Its depth tells nothing.
            before = _OWN_QUEUE.knows_since(now)
            again = [item for item, at in seen.published if at < before]
            return again, self._most - (len(seen.published) - len(again))
        depth = self._measure()
        if depth is None:
            return [], 0
        lost = len(seen.published) - depth
        before = now - timedelta(seconds=self._settings.sweeper.unclaimed_s)
        again = [item for item, at in seen.published if at < before] if lost > 0 else []
        return again[:lost], self._most - depth

    def _put(self, items: list[Item], now: datetime) -> int:
        if not items:
            return 0
        reprocess.mark_published(self._db, items, now)
        for place, item in enumerate(items):
            if not self._send(item):
                reprocess.mark_published(self._db, items[place:], None)
                return place
        return len(items)

    def take_back(self) -> None:
        """Note that this process's own queue ends with it; what it held waits for the next one."""
        if self._settings.is_embedded:
            now = datetime.now(UTC)
            seen = reprocess.window(self._db, now, 4 * self._most)
            mine = [item for item, at in seen.published if at >= _OWN_QUEUE.knows_since(now)]
            reprocess.mark_published(self._db, mine, None)


def publish(item: Item) -> bool:
    """Put a frame of a job on the queue; False when the broker did not take it."""
    return queues.send(REPROCESS, (item.job_id, item.frame_id), REPROCESSING)
