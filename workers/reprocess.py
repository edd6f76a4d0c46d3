"""Frames that are worked on once more: a task of their own, on a queue behind all others.

As everywhere a message may come twice, late or never: claiming decides, and the dispatcher's sweep puts
right what the broker forgot. A frame that cannot be worked on again keeps what it has.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

import structlog
from celery import shared_task

import observatory
from observatory.errors import TransientError, UnusableInputError
from observatory.frame import Frame
from observatory.storage import reprocess, results
from observatory.storage.nights import NewSlices
from observatory.storage.regions import NewSegmentation
from observatory.storage.reprocess import ClaimedItem, Item
from observatory.storage.results import NewRun
from observatory.storage.skies import NewSky
from workers.app import REPROCESS
from workers.dispatcher import Dispatcher
from workers.patience import Claim, insist, see_through
from workers.pipelines.base import Outcome, Pipeline, Stopwatch
from workers.products.stored import written
from workers.stored_frames import read_stored
from workers.tasks import Desk, desk

log = structlog.get_logger(__name__)


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

    def run_again() -> str:
        run = analyse(at, claimed)
        return "done" if insist(lambda: reprocess.finish(at.db, claimed, run)) else "superseded"

    claim = Claim(
        what="reprocessing",
        attempts=claimed.attempts,
        most_attempts=at.settings.worker.max_attempts,
        reject=partial(reprocess.refuse, at.db, claimed),
        fail=partial(reprocess.refuse, at.db, claimed),
        give_back=partial(reprocess.give_back, at.db, claimed),
    )
    bound = log.bind(job_id=item.job_id, frame_id=item.frame_id, file_name=claimed.file_name)
    return see_through(run_again, claim, bound)


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
    return reprocess.only(_as_run(at, frame, outcome), claimed.model)


def _check_model(pipeline: Pipeline, model: str | None) -> None:
    installed = sorted(known.name for known in pipeline.models)
    if model is not None and model not in installed:
        raise NotRunError(model, pipeline.family, installed)


def _as_run(at: Desk, frame: Frame, outcome: Outcome) -> NewRun:
    return NewRun(
        made=[results.NewResult(item.analysis, item.model, item.payload) for item in outcome.findings],
        software_version=observatory.__version__,
        now=datetime.now(UTC),
        quality=outcome.quality,
        pictures=written(at.files, outcome.pictures),
        segmentations=[NewSegmentation(item, outcome.preview_affine) for item in outcome.segmentations],
        looked_for=outcome.looked_for,
        sky=NewSky.of(frame, outcome.sky),
        slices=NewSlices.of(frame, outcome.sky, outcome.slices),
        disturbance=outcome.disturbance,
    )
