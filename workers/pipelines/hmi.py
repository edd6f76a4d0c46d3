"""Frames of the photosphere: quality, preview, and the frame as a telescope of twice the size shows it."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from models.hmi_enhancement.inference import HmiEnhancement, quantity_of
from models.hmi_quality import HmiQuality
from models.runtime import Runtime
from observatory.analysis import Cause, ModelIdentity, Quality, Quantity
from observatory.errors import UnusableInputError
from observatory.frame import Frame
from observatory.storage.enhancements import ANALYSIS, enhancement_payload
from observatory.storage.results import quality_payload
from workers.pace import UNHURRIED, Pace
from workers.pipelines.base import Finding, Outcome, Pipeline, Stopwatch
from workers.products.compare import compare
from workers.products.enhanced import enhanced_fits
from workers.products.preview import Picture, preview, region_overlay

FULL_DISK_PX = 2048
"""Frames with a longer side take seconds on a CPU and a gigabyte: they may have to wait their turn."""

#: What hides the Sun, or blurs it otherwise than the telescope does: nothing true comes of it.
_HIDING = frozenset(
    {
        Cause.ECLIPSE,
        Cause.OCCULTATION,
        Cause.MISSING_DATA,
        Cause.UNDEREXPOSED,
        Cause.OVEREXPOSED,
        Cause.DEFOCUS,
        Cause.LENS_CAP,
        Cause.NO_TARGET,
    }
)


@dataclass(frozen=True)
class _Enhanced:
    """What came of the attempt: what an enhancement says and its pictures, or why there is none."""

    finding: Finding
    pictures: tuple[Picture, ...] = ()
    is_behind: bool = False


class HmiPipeline(Pipeline):
    """Continuum and line-of-sight field, full disks, cut-outs and SHARP patches."""

    family = "hmi"

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self._quality = HmiQuality()
        self._enhancement = HmiEnhancement(runtime)
        # Two full disks beside each other gain no time, and take twice the memory.
        self._one_disk = threading.Lock()

    @property
    def models(self) -> tuple[ModelIdentity, ...]:
        return (self._quality.identity, *(self._enhancement.identity_of(each) for each in Quantity))

    def warm_up(self) -> None:
        self._enhancement.warm_up()

    def quality(self, frame: Frame) -> Quality:
        return self._quality.analyse(frame)

    def run(self, frame: Frame, watch: Stopwatch) -> Outcome:
        return self.run_live(frame, watch, UNHURRIED)

    def run_live(self, frame: Frame, watch: Stopwatch, pace: Pace) -> Outcome:
        with watch.stage("quality"):
            quality = self._quality.analyse(frame)
        enhanced = self._attempt(frame, quality, watch, pace)
        with watch.stage("products"):
            pictures = [preview(frame)]
            spoilt = region_overlay(frame, quality)
            if spoilt is not None:
                pictures.append(spoilt)
        return Outcome(
            quality=quality,
            findings=(Finding("quality", quality.model, quality_payload(quality)), enhanced.finding),
            pictures=(*pictures, *enhanced.pictures),
            network=enhanced.finding.model.name if enhanced.pictures else None,
            is_behind=enhanced.is_behind,
        )

    def _attempt(self, frame: Frame, quality: Quality, watch: Stopwatch, pace: Pace) -> _Enhanced:
        """Enhance a frame, or say why not: a refusal is an answer, not an error."""
        model = self._enhancement.identity_of(quantity_of(frame))
        hiding = [item.cause.value for item in quality.causes if item.cause in _HIDING]
        if quality.is_degraded and hiding:
            reason = f"the frame is degraded: {', '.join(hiding)}"
            wrong = self._enhancement.reason_against(frame)  # a wrong unit looks like too little light
            reason += f"; {wrong}" if wrong else ""
            return _Enhanced(Finding(ANALYSIS, model, {"refused": reason}))
        if max(frame.height, frame.width) > FULL_DISK_PX:
            asked = pace.turn(frame.instrument, self._one_disk)
        else:
            asked = UNHURRIED.turn(frame.instrument)
        try:
            with asked as turn:
                if turn.denied is None:
                    return self._enhance(frame, watch)
                finding = Finding(ANALYSIS, model, {"skipped": turn.denied})
                return _Enhanced(finding, is_behind=turn.is_behind)
        except UnusableInputError as error:
            return _Enhanced(Finding(ANALYSIS, model, {"refused": str(error)}))

    def _enhance(self, frame: Frame, watch: Stopwatch) -> _Enhanced:
        with watch.stage("inference"):
            enhancement = self._enhancement.enhance(frame)
        with watch.stage("products"):
            shown = compare(frame, enhancement)
            pictures = (enhanced_fits(frame, enhancement), *shown.pictures)
        payload = enhancement_payload(enhancement) | {"compare_window_px": list(shown.window_px)}
        return _Enhanced(Finding(ANALYSIS, enhancement.model, payload), pictures)
