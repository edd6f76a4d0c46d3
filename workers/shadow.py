"""A candidate's answer beside the live one's: how alike they are, and whether they decide the same."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import structlog

from observatory.analysis import Segmentation, Threshold
from observatory.errors import HeliowatchError
from observatory.frame import Frame
from observatory.storage import shadows
from observatory.storage.deployments import Deployment
from observatory.storage.enhancements import ANALYSIS as ENHANCEMENT
from observatory.storage.frames import Claimed
from observatory.storage.shadows import ShadowResult
from workers.pipelines.base import Outcome, Pipeline, Stopwatch

if TYPE_CHECKING:
    from workers.tasks import Desk

log = structlog.get_logger(__name__)

_ALIKE = 0.8
"""Dice of two masks, and likeness of two numbers, from which on they count as the same answer."""
_STEPS = 1000


@dataclass(frozen=True)
class Likeness:
    """Two answers to one question."""

    agreement: float
    is_alike: bool
    live_value: float | None = None
    candidate_value: float | None = None
    words: str | None = None


def after_frame(at: Desk, claimed: Claimed, family: str, frame: Frame, outcome: Outcome) -> None:
    """Let candidates look at a frame that is done, at a share of all.

    Raises nothing: the frame is done, whatever a candidate makes of it.
    """
    for shadow in at.deployed.shadows:
        is_drawn = drawn(claimed.sha256, claimed.frame_index, at.settings.models.shadow_share)
        if family in shadow.families and is_drawn:
            _look(at, claimed, shadow.pipelines.of(family), frame, outcome, shadow.deployment)


def drawn(sha256: str, index: int, share: float) -> bool:
    """Whether a frame belongs to a share of all: the same one for every candidate."""
    return zlib.crc32(f"{sha256}:{index}".encode()) % _STEPS < share * _STEPS


def _look(
    at: Desk, claimed: Claimed, pipeline: Pipeline, frame: Frame, outcome: Outcome, candidate: Deployment
) -> None:
    begun = time.perf_counter()
    try:
        other = pipeline.run_live(frame, Stopwatch(), at.pace)
        if other.is_behind or outcome.is_behind:
            return  # one of the two had no time: there is nothing to compare
        found = compare(outcome, other)
        seconds = time.perf_counter() - begun
    except HeliowatchError as error:
        found, seconds = Likeness(0.0, False, words=f"the candidate fails: {error}"), 0.0
    except Exception as error:
        log.exception("candidate_defect", model=candidate.model_name, frame_id=claimed.id)
        found, seconds = Likeness(0.0, False, words=f"the candidate fails: {type(error).__name__}"), 0.0
    result = ShadowResult(
        frame_id=claimed.id,
        live_sha256=_sha256_of(outcome, candidate.model_name),
        agreement=found.agreement,
        is_alike=found.is_alike,
        live_value=found.live_value,
        candidate_value=found.candidate_value,
        words=found.words,
        seconds=seconds,
    )
    try:
        shadows.put(at.db, candidate.id, result, datetime.now(UTC))
    except HeliowatchError as error:
        log.warning("shadow_result_lost", frame_id=claimed.id, error=str(error))


def _sha256_of(outcome: Outcome, name: str) -> str:
    """Of the live network, as the frame's own results name it."""
    return next((item.model.sha256 for item in outcome.findings if item.model.name == name), "")


def compare(live: Outcome, candidate: Outcome) -> Likeness:
    """The least alike of all that both say of a frame."""
    found = list(_likenesses(live, candidate))
    return min(found, key=lambda one: (one.is_alike, one.agreement), default=Likeness(1.0, True))


def _likenesses(live: Outcome, candidate: Outcome) -> Iterator[Likeness]:
    if live.quality is not None and candidate.quality is not None:
        one, other = live.quality, candidate.quality
        is_alike = one.is_degraded == other.is_degraded
        said = ["degraded" if each.is_degraded else "clear" for each in (one, other)]
        words = (
            None if is_alike else f"{said[0]} {one.score:.2f}, the candidate says {said[1]} {other.score:.2f}"
        )
        yield Likeness(1.0 - abs(one.score - other.score), is_alike, one.score, other.score, words)
    others = {segmentation.event_type: segmentation for segmentation in candidate.segmentations}
    for segmentation in live.segmentations:
        if segmentation.event_type in others:
            yield _of_masks(segmentation, others[segmentation.event_type])
    if live.sky is not None and candidate.sky is not None:
        yield _of_skies(live, candidate)
    yield from _of_enhancements(live, candidate)


def _of_masks(live: Segmentation, candidate: Segmentation) -> Likeness:
    one, other = (each.probability >= each.thresholds[Threshold.MEDIUM] for each in (live, candidate))
    whole = float(one.sum() + other.sum())
    dice = 1.0 if whole == 0 else 2.0 * float(np.logical_and(one, other).sum()) / whole
    shares = [each.disk_fraction[Threshold.MEDIUM] for each in (live, candidate)]
    words = None
    if dice < _ALIKE:
        words = (
            f"{live.event_type.value}: {100 * shares[0]:.2g} % of the disk, "
            f"the candidate says {100 * shares[1]:.2g} %, Dice {dice:.2f}"
        )
    return Likeness(dice, dice >= _ALIKE, shares[0], shares[1], words)


def _of_skies(live: Outcome, candidate: Outcome) -> Likeness:
    assert live.sky is not None and candidate.sky is not None
    one, other = live.sky, candidate.sky
    is_alike = one.sky_class == other.sky_class
    if not (one.probabilities and other.probabilities):
        agreement = 1.0 if is_alike else 0.0
    else:
        apart = sum(abs(one.probabilities[name] - other.probabilities[name]) for name in one.probabilities)
        agreement = 1.0 - apart / 2.0  # total variation distance
    words = None if is_alike else f"{one.sky_class or 'none'}, the candidate says {other.sky_class or 'none'}"
    return Likeness(agreement, is_alike, one.aurora_probability, other.aurora_probability, words)


def _of_enhancements(live: Outcome, candidate: Outcome) -> Iterator[Likeness]:
    """Compared by the contrast or the flux that comes out, which is what an enhancement is for."""
    payloads = [
        next((item.payload for item in outcome.findings if item.analysis == ENHANCEMENT), None)
        for outcome in (live, candidate)
    ]
    if payloads[0] is None or payloads[1] is None:
        return
    numbers = [
        payload.get("contrast_after") or payload.get("unsigned_flux_after_mx")
        for payload in payloads
        if payload
    ]
    one, other = numbers
    if one is None or other is None:
        is_alike = one is other
        words = None if is_alike else f"{_outcome(payloads[0])}, the candidate says {_outcome(payloads[1])}"
        yield Likeness(1.0 if is_alike else 0.0, is_alike, one, other, words)
        return
    agreement = min(one, other) / max(one, other) if min(one, other) > 0 else 0.0
    is_alike = agreement >= _ALIKE
    words = None if is_alike else f"{one:.3g} after enhancement, the candidate says {other:.3g}"
    yield Likeness(agreement, is_alike, one, other, words)


def _outcome(payload: dict[str, object]) -> str:
    return str(payload.get("refused") or payload.get("skipped") or "enhanced")
