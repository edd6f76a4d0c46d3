"""Frames that are worked on once more: a task of their own, on a queue behind all others.

As everywhere a message may come twice, late or never: claiming decides, and the dispatcher's sweep puts
right what the broker forgot. A frame that cannot be worked on again keeps what it has.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import structlog
from celery import shared_task

import observatory
from observatory.errors import TransientError, UnusableInputError
from observatory.storage import reprocess, results
from observatory.storage.regions import NewSegmentation
from observatory.storage.reprocess import ClaimedItem, Item
from observatory.storage.results import NewRun
from workers.app import REPROCESS
from workers.dispatcher import Dispatcher
from workers.patience import insist
from workers.pipelines.base import Outcome, Pipeline, Stopwatch
from workers.stored_frames import read_stored
from workers.tasks import Desk, desk

log = structlog.get_logger(__name__)

_RETRY_S = 5.0
_MOST_BACKOFF_S = 60.0


class NotRunError(UnusableInputError):
    """A frame is to be worked on by a model that nothing here runs on its kind."""

    def __init__(self, model: str, family: str, installed: list[str]) -> None:
        super().__init__(
            f"frames of kind {family} are not analysed by {model} here; "
            f"installed for them: {', '.join(installed) or 'nothing'}"
        )


@shared_task(name=REPROCESS)
def reprocess_frame(job_id: int, frame_id: int) -> None:
    """Work once more on one frame, if it still waits."""
    at = desk()
    work(at, Item(job_id, frame_id))
    if at.settings.is_embedded:
        _fill(at)


_dispatchers: dict[int, Dispatcher] = {}


def _fill(at: Desk) -> None:
    """Let the next one follow at once; when that fails, the sweep comes a little later."""
    dispatcher = _dispatchers.setdefault(id(at), Dispatcher(at.settings, at.db))
    try:
        dispatcher.fill(datetime.now(UTC))
    except TransientError as error:
        log.warning("reprocessing_delayed", error=str(error))


def work(at: Desk, item: Item) -> str | None:
    """Claim, analyse, store; return what became of the frame, None when it was not ours to work on."""
    claimed = insist(lambda: reprocess.claim(at.db, item, at.name, datetime.now(UTC)))
    if claimed is None:
        return None
    bound = log.bind(job_id=item.job_id, frame_id=item.frame_id, file_name=claimed.file_name)
    try:
        run = analyse(at, claimed)
        is_ours = insist(lambda: reprocess.finish(at.db, claimed, run))
    except UnusableInputError as error:
        reason = str(error)
        insist(lambda: reprocess.refuse(at.db, claimed, reason))
        bound.info("reprocessing_refused", reason=reason)
        return "failed"
    except TransientError as error:
        _give_back(at, claimed, _RETRY_S, is_counted=False)
        bound.warning("reprocessing_delayed", reason=str(error))
        return "retried"
    except Exception as error:  # noqa: BLE001 - whatever is not in our tree is a defect
        return _after_defect(at, claimed, error)
    return "done" if is_ours else "superseded"


def _after_defect(at: Desk, claimed: ClaimedItem, error: Exception) -> str:
    log.exception("reprocessing_defect", frame_id=claimed.frame_id, attempt=claimed.attempts)
    if claimed.attempts >= at.settings.worker.max_attempts:
        reason = f"defect after {claimed.attempts} attempts: {type(error).__name__}: {error}"
        insist(lambda: reprocess.refuse(at.db, claimed, reason))
        return "failed"
    _give_back(at, claimed, min(2.0**claimed.attempts, _MOST_BACKOFF_S), is_counted=True)
    return "retried"


def _give_back(at: Desk, claimed: ClaimedItem, seconds: float, *, is_counted: bool) -> None:
    retry_at = datetime.now(UTC) + timedelta(seconds=seconds)
    insist(lambda: reprocess.give_back(at.db, claimed, retry_at, is_counted=is_counted))


def analyse(at: Desk, claimed: ClaimedItem) -> NewRun:
    """Read a frame and run its pipeline; return what is to be kept of it.

    Raises
    ------
    UnusableInputError
        When no place holds the frame's bytes any more, or the job's model is not for it.
    """
    pipeline = at.pipelines.of(claimed.family)
    _check_model(pipeline, claimed.model)
    frame = read_stored(
        at.db,
        at.settings,
        sha256=claimed.sha256,
        path=claimed.path,
        file_name=claimed.file_name,
        frame_index=claimed.frame_index,
        instrument=claimed.instrument,
    )
    outcome = pipeline.run(frame, Stopwatch())
    return reprocess.only(_as_run(at, outcome), claimed.model)


def _check_model(pipeline: Pipeline, model: str | None) -> None:
    installed = sorted(known.name for known in pipeline.models)
    if model is not None and model not in installed:
        raise NotRunError(model, pipeline.family, installed)


def _as_run(at: Desk, outcome: Outcome) -> NewRun:
    pictures = [
        results.NewProduct(
            kind=picture.kind,
            media_type=picture.media_type,
            file=at.files.write(picture.data, picture.suffix),
            width=picture.width,
            height=picture.height,
        )
        for picture in outcome.pictures
    ]
    return NewRun(
        made=[results.NewResult(item.analysis, item.model, item.payload) for item in outcome.findings],
        software_version=observatory.__version__,
        now=datetime.now(UTC),
        quality=outcome.quality,
        pictures=pictures,
        segmentations=[NewSegmentation(item, outcome.preview_affine) for item in outcome.segmentations],
        looked_for=outcome.looked_for,
    )
