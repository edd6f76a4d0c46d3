"""The tasks: short, idempotent, decided by the row and not by the message.

A message may come twice, late or not at all. `process_frame` therefore begins by claiming the row,
which one worker wins, and ends by one transaction that only the claim's holder can commit. The
type of an error decides what becomes of the frame.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

import structlog
from celery import shared_task

import observatory
from observatory.errors import (
    DefectError,
    TransientError,
    UnreadableFileError,
    UnusableInputError,
    VanishedFileError,
)
from observatory.instruments import open_bytes
from observatory.instruments.formats import read_bytes
from observatory.settings import Settings
from observatory.storage import frames, results
from observatory.storage.frames import Claimed, Status
from observatory.storage.regions import NewSegmentation
from workers import composites, metrics
from workers.app import PROCESS_FRAME
from workers.context import Context
from workers.patience import insist
from workers.pipelines import Pipelines
from workers.pipelines.base import Outcome, Stopwatch

log = structlog.get_logger(__name__)

_RETRY_TRANSIENT_S = 5.0
_MAX_BACKOFF_S = 60.0


@dataclass
class Desk(Context):
    """Context of a process that works on frames."""

    @cached_property
    def pipelines(self) -> Pipelines:
        """Pipelines of this process."""
        return Pipelines(self.runtime)


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
    since = claimed.claimed_at
    try:
        outcome = work(at, claimed)
    except UnusableInputError as error:
        reason, now = str(error), datetime.now(UTC)
        insist(
            lambda: frames.refuse(at.db, frame_id, at.name, Status.REJECTED, reason, now, claimed_at=since)
        )
        bound.info("frame_rejected", reason=reason)
        outcome = "rejected"
    except TransientError as error:
        retry_at = datetime.now(UTC) + timedelta(seconds=_RETRY_TRANSIENT_S)
        insist(
            lambda: frames.give_back(at.db, frame_id, at.name, retry_at, is_counted=False, claimed_at=since)
        )
        bound.warning("frame_delayed", reason=str(error))
        outcome = "retried"
    except Exception as error:  # noqa: BLE001 - whatever is not in our tree is a defect
        outcome = _after_defect(at, claimed, error)
    metrics.frames_processed.labels(claimed.instrument, outcome).inc()


def _after_defect(at: Desk, claimed: Claimed, error: Exception) -> str:
    log.exception("frame_defect", frame_id=claimed.id, attempt=claimed.attempts)
    now, since = datetime.now(UTC), claimed.claimed_at
    if claimed.attempts >= at.settings.worker.max_attempts:
        reason = f"defect after {claimed.attempts} attempts: {type(error).__name__}: {error}"
        insist(
            lambda: frames.refuse(at.db, claimed.id, at.name, Status.FAILED, reason, now, claimed_at=since)
        )
        return "failed"
    retry_at = now + timedelta(seconds=min(2.0**claimed.attempts, _MAX_BACKOFF_S))
    insist(lambda: frames.give_back(at.db, claimed.id, at.name, retry_at, is_counted=True, claimed_at=since))
    return "retried"


def work(at: Desk, claimed: Claimed) -> str:
    """Read, analyse, store; return the outcome's name.

    Raises
    ------
    HeliowatchError
        Its type says what becomes of the frame.
    """
    watch = Stopwatch()
    with watch.stage("read"):
        data = _bytes_of(at, claimed)
        opened = open_bytes(
            data,
            claimed.file_name,
            at.settings.limits.as_limits,
            instrument=claimed.instrument,
            stations=at.settings.stations,
        )
        frame = opened.frame(claimed.frame_index)
    pipeline = at.pipelines.of(opened.kind.family)
    outcome = pipeline.run(frame, watch)
    with watch.stage("store"):
        is_ours = _store(at, claimed, outcome)
    if not is_ours:
        return "superseded"
    composites.after_frame(at, claimed.id, claimed.instrument)
    _count(at, claimed, outcome, watch)
    return "done"


def _bytes_of(at: Desk, claimed: Claimed) -> bytes:
    """Bytes of the frame's file, from any place where they were seen.

    Raises
    ------
    VanishedFileError, UnreadableFileError
        When no place holds these very bytes any more.
    """
    limits = at.settings.limits.as_limits
    problem: UnusableInputError | None = None
    for path in _places(at, claimed):
        try:
            data = read_bytes(path, limits)
        except VanishedFileError as error:
            problem = problem or error
            continue
        if _is_same(claimed, path, data):
            return data
        problem = UnreadableFileError(
            "the file was changed after it arrived; its new bytes are a frame of their own"
        )
    raise problem or VanishedFileError(claimed.file_name, "no place is known where it lies")


def _places(at: Desk, claimed: Claimed) -> Iterator[Path]:
    """Where the file may lie: the place of its row, and only when it is not there, the others."""
    yield claimed.path
    yield from frames.other_paths(at.db, claimed.sha256, claimed.path)


def _is_same(claimed: Claimed, path: Path, data: bytes) -> bool:
    """Whether these are the bytes of the frame's row.

    The ingester hashed them; they are hashed again only when the file was touched since.
    """
    with contextlib.suppress(OSError):
        after = path.stat()
        is_as_seen = (after.st_size, after.st_mtime_ns) in claimed.seen
        if path == claimed.path and after.st_size == len(data) and is_as_seen:
            return True
    return hashlib.sha256(data).hexdigest() == claimed.sha256


def _store(at: Desk, claimed: Claimed, outcome: Outcome) -> bool:
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
    return results.finish(
        at.db,
        claimed.id,
        at.name,
        quality=outcome.quality,
        made=[results.NewResult(item.analysis, item.model, item.payload) for item in outcome.findings],
        pictures=pictures,
        software_version=observatory.__version__,
        now=datetime.now(UTC),
        segmentations=[NewSegmentation(item, outcome.preview_affine) for item in outcome.segmentations],
        looked_for=outcome.looked_for,
        claimed_at=claimed.claimed_at,
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
    quality = outcome.quality
    if quality is None:
        return
    metrics.frame_quality.labels(name).observe(quality.score)
    if quality.is_degraded:
        cause = quality.causes[0].cause.value if quality.causes else "unknown"
        metrics.frames_degraded.labels(name, cause).inc()


__all__ = ["Desk", "desk", "process_frame", "sit_down", "work"]
