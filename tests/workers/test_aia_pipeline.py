"""One coronal frame through its pipeline: quality first, then regions unless the frame hides the Sun."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from models.runtime import Runtime
from models.simulate.aia import AiaSun, AiaTelescope, SimulatedAia
from models.simulate.aia_defects import spoil
from observatory.analysis import Cause, EventType, Threshold
from observatory.errors import UnusableInputError
from observatory.frame import Frame
from workers.pipelines.aia import AiaPipeline
from workers.pipelines.base import Outcome, Stopwatch

WHEN = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def sun() -> AiaSun:
    return AiaSun(seed=11, detail=512)


@pytest.fixture(scope="module")
def pipeline() -> AiaPipeline:
    return AiaPipeline(Runtime())


def run(pipeline: AiaPipeline, frame: Frame) -> Outcome:
    return pipeline.run(frame, Stopwatch())


def taken(sun: AiaSun, channel: int) -> SimulatedAia:
    return sun.frame(WHEN, AiaTelescope(512, channel))


@pytest.mark.parametrize(
    ("channel", "wanted"),
    [
        (193, {EventType.CORONAL_HOLE, EventType.ACTIVE_REGION}),
        (171, {EventType.ACTIVE_REGION}),
        (304, set()),
    ],
)
def test_each_channel_is_asked_what_it_can_tell(
    pipeline: AiaPipeline, sun: AiaSun, channel: int, wanted: set[EventType]
):
    outcome = run(pipeline, taken(sun, channel).frame())
    assert {item.event_type for item in outcome.segmentations} == set(outcome.looked_for) == wanted
    assert outcome.quality is not None and not outcome.quality.is_degraded
    assert [picture.kind for picture in outcome.pictures] == ["preview"]


def test_each_segmentation_has_a_result_without_its_outlines(pipeline: AiaPipeline, sun: AiaSun):
    outcome = run(pipeline, taken(sun, 193).frame())
    payloads = {item.analysis: item.payload for item in outcome.findings}
    assert set(payloads) == {"quality", "segmentation-AR", "segmentation-CH"}
    for item in outcome.segmentations:
        told = payloads[f"segmentation-{item.event_type.value}"]
        assert told["regions"] == len(item.regions)
        assert told["disk_fraction"]["medium"] == pytest.approx(
            item.disk_fraction[Threshold.MEDIUM], abs=1e-5
        )
        levels = [told["disk_fraction"][name] for name in ("conservative", "medium", "liberal")]
        assert levels == sorted(levels)


@pytest.mark.parametrize("cause", [Cause.ECLIPSE, Cause.MISSING_DATA])
def test_a_hidden_sun_is_not_segmented_and_the_result_says_why(
    pipeline: AiaPipeline, sun: AiaSun, cause: Cause
):
    clear = taken(sun, 193)
    spoilt = spoil(clear.pixels, clear.pointing, cause, np.random.default_rng(3), 0.5)
    outcome = run(pipeline, replace(clear, pixels=np.asarray(spoilt.pixels)).frame())
    assert outcome.quality is not None and outcome.quality.is_degraded
    assert outcome.segmentations == ()
    assert set(outcome.looked_for) == {EventType.CORONAL_HOLE, EventType.ACTIVE_REGION}
    told = next(item.payload for item in outcome.findings if item.analysis == "segmentation")
    assert cause.value in told["skipped"]


def test_a_frame_that_cannot_be_segmented_is_still_scored_and_shown(
    pipeline: AiaPipeline, sun: AiaSun, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise UnusableInputError("no disk is in the frame")

    monkeypatch.setattr(pipeline._segmentation, "analyse", refuse)
    outcome = run(pipeline, taken(sun, 193).frame())
    assert outcome.quality is not None
    assert outcome.pictures
    assert outcome.findings[-1].payload == {"skipped": "no disk is in the frame"}


def test_a_black_frame_is_scored_near_zero_and_has_no_regions(pipeline: AiaPipeline, sun: AiaSun):
    black = replace(taken(sun, 193), pixels=np.zeros((512, 512), np.int16))
    outcome = run(pipeline, black.frame())
    assert outcome.quality is not None and outcome.quality.score < 0.1
    assert outcome.segmentations == ()
