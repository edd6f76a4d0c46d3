"""Parts of frames that are enhanced because somebody asks: a task of their own, on a queue of their own.

The service writes a row and sends its number; here the row is claimed, the frame read again from where it
lies, the part enhanced, its FITS file stored. As everywhere a message may come twice, late or never.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import structlog
from celery import shared_task

from observatory.errors import UnreadableFileError, VanishedFileError
from observatory.frame import Frame
from observatory.settings import Settings
from observatory.storage import cutouts
from observatory.storage.cutouts import ClaimedCutout, CutoutStatus
from observatory.storage.enhancements import enhancement_payload
from observatory.storage.files import ProductFiles
from observatory.storage.session import Database
from workers import metrics, queues
from workers.app import CUTOUTS, ENHANCE
from workers.patience import Claim, insist, see_through
from workers.products.preview import Picture
from workers.products.stored import written
from workers.stored_frames import read_stored

if TYPE_CHECKING:
    from models.hmi_enhancement.inference import HmiEnhancement
    from workers.pipelines import Pipelines
    from workers.tasks import Desk

log = structlog.get_logger(__name__)

_SWEEP_FILES_EVERY = timedelta(minutes=10)


@shared_task(name=ENHANCE)
def enhance(cutout_id: int) -> None:
    """Make one cut-out, if it still waits."""
    from workers.tasks import desk  # with the pipelines: not for those who only sweep

    work(desk(), cutout_id)


def work(at: Desk, cutout_id: int) -> str | None:
    """Claim, enhance, store; return what became of the cut-out, None when it was not ours to make."""
    claimed = insist(lambda: cutouts.claim(at.db, cutout_id, at.name, datetime.now(UTC)))
    if claimed is None:
        return None

    def end(status: CutoutStatus, reason: str) -> None:
        cutouts.end(at.db, claimed, status, reason, datetime.now(UTC))

    def make_it() -> str:
        try:
            frame = _read(at, claimed)
        except (VanishedFileError, UnreadableFileError) as error:
            reason = str(error)  # the name is gone after this block
            insist(lambda: end(CutoutStatus.LOST, reason))
            return "lost"
        return "done" if _store(at, claimed, make(at, claimed, frame)) else "superseded"

    claim = Claim(
        what="cutout",
        attempts=claimed.attempts,
        most_attempts=at.settings.worker.max_attempts,
        reject=partial(end, CutoutStatus.REFUSED),
        fail=partial(end, CutoutStatus.FAILED),
        give_back=partial(cutouts.give_back, at.db, claimed),
    )
    bound = log.bind(cutout_id=cutout_id, frame_id=claimed.frame_id, file_name=claimed.file_name)
    return see_through(make_it, claim, bound)


def _read(at: Desk, claimed: ClaimedCutout) -> Frame:
    return read_stored(
        at.db,
        at.settings,
        sha256=claimed.sha256,
        path=claimed.path,
        file_name=claimed.file_name,
        frame_index=claimed.frame_index,
        instrument=claimed.instrument,
    )


@dataclass(frozen=True)
class Made:
    """A cut-out's file and what is to be known of it."""

    picture: Picture
    payload: dict[str, Any]


def make(at: Desk, claimed: ClaimedCutout, frame: Frame) -> Made:
    """Enhance the part of a frame that was asked for.

    Raises
    ------
    UnusableInputError
        When the part does not lie on the frame, or is nothing to enhance; says why.
    """
    from workers.products.enhanced import enhanced_fits  # with the models: not for those who only sweep

    window = claimed.field.window(frame, at.settings.cutouts.max_pixels)
    enhancer = enhancer_of(at)
    begun = time.perf_counter()
    enhancement = enhancer.enhance(frame, window)
    metrics.inference_duration.labels(enhancement.model.name, at.runtime.provider).observe(
        time.perf_counter() - begun
    )
    return Made(enhanced_fits(frame, enhancement), enhancement_payload(enhancement))


_enhancers: WeakKeyDictionary[Pipelines, HmiEnhancement] = WeakKeyDictionary()


def enhancer_of(at: Desk) -> HmiEnhancement:
    """The networks that a process runs now; their sessions are those that its pipelines have already."""
    from models.hmi_enhancement.inference import HmiEnhancement
    from models.registry import with_networks

    running = at.deployed  # other pipelines with every change of what is deployed
    if running.pipelines not in _enhancers:
        with with_networks(running.networks):
            _enhancers[running.pipelines] = HmiEnhancement(at.runtime)
    return _enhancers[running.pipelines]


def _store(at: Desk, claimed: ClaimedCutout, made: Made) -> bool:
    (product,) = written(at.files, [made.picture])
    now = datetime.now(UTC)
    return insist(lambda: cutouts.finish(at.db, claimed, product, made.payload, now))


def publish(cutout_id: int) -> bool:
    """Put a cut-out on the queue; False when the broker did not take it."""
    return queues.send(ENHANCE, (cutout_id,), CUTOUTS)


class CutoutSweep:
    """Puts cut-outs on the queue that it lost or never had, and removes those that nobody uses any more."""

    def __init__(
        self,
        settings: Settings,
        db: Database,
        send: Callable[[int], bool] = publish,
        measure: Callable[[], int | None] = lambda: queues.depth(CUTOUTS),
    ) -> None:
        self._settings, self._db, self._send, self._measure = settings, db, send, measure
        self._files = ProductFiles(settings.product_dir)
        self._own_queue = queues.OwnQueue()
        self._cleared_at: datetime | None = None

    def sweep(self, now: datetime) -> int:
        """Sweep once; return how many were put on the queue."""
        worker = self._settings.worker
        back = cutouts.release_abandoned(self._db, now, worker.lease_s, worker.max_attempts)
        if back:
            log.warning("abandoned_cutouts", waiting=back)
        if self._cleared_at is None or now - self._cleared_at >= _SWEEP_FILES_EVERY:
            self._cleared_at = now
            self._clear(now)
        return self._send_again(now)

    def _send_again(self, now: datetime) -> int:
        waiting = cutouts.count_waiting(self._db)
        room = waiting
        if waiting and not self._settings.is_embedded:
            depth = self._measure()
            room = 0 if depth is None else waiting - depth
        if room <= 0:
            return 0
        sent = 0
        for cutout_id in cutouts.due(self._db, now, self._stale(now), room):
            cutouts.mark_published(self._db, cutout_id, now)
            if not self._send(cutout_id):
                cutouts.mark_published(self._db, cutout_id, None)
                break
            sent += 1
        return sent

    def _stale(self, now: datetime) -> datetime:
        """What was put on the queue before this moment counts as forgotten."""
        if self._settings.is_embedded:
            return self._own_queue.knows_since(now)
        return now - timedelta(seconds=self._settings.sweeper.unclaimed_s)

    def _clear(self, now: datetime) -> None:
        unused_since = now - timedelta(days=self._settings.cutouts.keep_days)
        while removed := cutouts.forget(self._db, unused_since):
            for path in removed.files:
                self._files.remove(path)
            log.info("cutouts_removed", cutouts=removed.count, files=len(removed.files))
