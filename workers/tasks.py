"""The tasks: short, idempotent, decided by the row and not by the message.

A message may come twice, late or not at all. `process_frame` therefore begins by claiming the row,
which one worker wins, and ends by one transaction that only the claim's holder can commit. The
type of an error decides what becomes of the frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, partial

import structlog
from celery import shared_task

import observatory
from observatory.errors import DefectError
from observatory.frame import Frame
from observatory.settings import Settings
from observatory.storage import frames, results
from observatory.storage.frames import Claimed, Status
from observatory.storage.nights import NewSlices
from observatory.storage.regions import NewSegmentation
from observatory.storage.skies import NewSky
from workers import composites, metrics, shadow
from workers.app import PROCESS_FRAME
from workers.context import Context
from workers.deployed import Deployed, deployed
from workers.pace import Pace
from workers.patience import Claim, insist, see_through
from workers.pipelines import Pipelines
from workers.pipelines.base import Outcome, Stopwatch
from workers.products.stored import written
from workers.stored_frames import open_stored

log = structlog.get_logger(__name__)


@dataclass
class Desk(Context):
    """Context of a process that works on frames.

    Attributes
    ----------
    pace : Pace
        Of the costly works on frames as they arrive.
    """

    pace: Pace = field(init=False)

    def __post_init__(self) -> None:
        self.pace = Pace.of(self.settings)

    @cached_property
    def deployed(self) -> Deployed:
        """What this process runs: as the deployments say when it is first asked; the watch replaces it."""
        return deployed(self)

    @property
    def pipelines(self) -> Pipelines:
        """Pipelines of this process, now."""
        return self.deployed.pipelines


_desk: Desk | None = None


def sit_down(settings: Settings) -> Desk:
    """Make this process's desk; called once, after the fork."""
    global _desk
    _desk = Desk(settings)
    return _desk


def desk() -> Desk:
    """Desk of this process."""
    if _desk is None:
        raise DefectError("a task ran before its process was set up")
    return _desk


@shared_task(name=PROCESS_FRAME)
def process_frame(frame_id: int) -> None:
    """Work on one frame, if it still waits."""
    at = desk()
    claimed = insist(lambda: frames.claim(at.db, frame_id, at.name, datetime.now(UTC)))
    if claimed is None:
        return
    bound = log.bind(frame_id=frame_id, instrument=claimed.instrument, file_name=claimed.file_name)
    outcome = see_through(lambda: work(at, claimed), _as_claim(at, claimed), bound)
    metrics.frames_processed.labels(claimed.instrument, outcome).inc()


def _as_claim(at: Desk, claimed: Claimed) -> Claim:
    def refuse(status: Status, reason: str) -> None:
        now, since = datetime.now(UTC), claimed.claimed_at
        frames.refuse(at.db, claimed.id, at.name, status, reason, now, claimed_at=since)

    return Claim(
        what="frame",
        attempts=claimed.attempts,
        most_attempts=at.settings.worker.max_attempts,
        reject=partial(refuse, Status.REJECTED),
        fail=partial(refuse, Status.FAILED),
        give_back=partial(frames.give_back, at.db, claimed.id, at.name, claimed_at=claimed.claimed_at),
    )


def work(at: Desk, claimed: Claimed) -> str:
    """Read, analyse, store; return the outcome's name.

    Raises
    ------
    HeliowatchError
        Its type says what becomes of the frame.
    """
    watch = Stopwatch()
    with watch.stage("read"):
        opened = open_stored(
            at.db,
            at.settings,
            sha256=claimed.sha256,
            path=claimed.path,
            file_name=claimed.file_name,
            instrument=claimed.instrument,
            seen=claimed.seen,
        )
        frame = replace(opened.frame(claimed.frame_index), sha256=claimed.sha256)
    pipeline = at.pipelines.of(opened.kind.family)
    outcome = pipeline.run_live(frame, watch, at.pace)
    with watch.stage("store"):
        is_ours = _store(at, claimed, frame, outcome)
    if not is_ours:
        return "superseded"
    composites.after_frame(at, claimed.id, claimed.instrument)
    _count(at, claimed, outcome, watch)
    shadow.after_frame(at, claimed, opened.kind.family, frame, outcome)
    return "done"


def _store(at: Desk, claimed: Claimed, frame: Frame, outcome: Outcome) -> bool:
    return results.finish(
        at.db,
        claimed.id,
        at.name,
        quality=outcome.quality,
        made=[results.NewResult(item.analysis, item.model, item.payload) for item in outcome.findings],
        pictures=written(at.files, outcome.pictures),
        software_version=observatory.__version__,
        now=datetime.now(UTC),
        segmentations=[NewSegmentation(item, outcome.preview_affine) for item in outcome.segmentations],
        looked_for=outcome.looked_for,
        claimed_at=claimed.claimed_at,
        sky=NewSky.of(frame, outcome.sky),
        slices=NewSlices.of(frame, outcome.sky, outcome.slices),
        disturbance=outcome.disturbance,
        note=frame.date_note,
    )


def _count(at: Desk, claimed: Claimed, outcome: Outcome, watch: Stopwatch) -> None:
    name = claimed.instrument
    since = claimed.closed_at or claimed.received_at
    metrics.frame_latency.labels(name).observe(max(0.0, (datetime.now(UTC) - since).total_seconds()))
    for stage, seconds in watch.seconds.items():
        metrics.stage_duration.labels(name, stage).observe(seconds)
    if outcome.network is not None:
        provider = at.runtime.provider
        metrics.inference_duration.labels(outcome.network, provider).observe(watch.seconds["inference"])
    if outcome.is_behind:
        metrics.enhancements_skipped.labels(name).inc()
    quality = outcome.quality
    if quality is None:
        return
    metrics.frame_quality.labels(name).observe(quality.score)
    if quality.is_degraded:
        cause = quality.causes[0].cause.value if quality.causes else "unknown"
        metrics.frames_degraded.labels(name, cause).inc()


__all__ = ["Desk", "desk", "process_frame", "sit_down", "work"]
