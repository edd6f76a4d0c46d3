"""Coronal frames: quality, preview, coronal holes and active regions."""

from __future__ import annotations

from typing import Any

from models.aia_quality.inference import AiaQuality
from models.aia_segmentation.inference import AiaSegmentation
from models.runtime import Runtime
from observatory.analysis import Cause, ModelIdentity, Quality, Segmentation
from observatory.errors import UnusableInputError
from observatory.euv import Plane, monochrome
from observatory.frame import Frame
from observatory.instruments.formats.rice import compile_decoder
from observatory.orientation import preview_affine
from observatory.storage.results import quality_payload
from workers.pipelines.base import Finding, Outcome, Pipeline, Stopwatch
from workers.products.preview import preview, region_overlay

#: A shadow, a gap or an empty picture is as dark as a coronal hole, and light that bleeds over the
#: detector as bright as an active region: nothing is segmented then.
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


class AiaPipeline(Pipeline):
    """AIA and SUVI, full disks and cut-outs."""

    family = "aia"

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self._quality = AiaQuality()
        self._segmentation = AiaSegmentation(runtime)

    @property
    def models(self) -> tuple[ModelIdentity, ...]:
        return (self._quality.identity, self._segmentation.identity)

    def warm_up(self) -> None:
        compile_decoder()
        self._segmentation.warm_up()

    def quality(self, frame: Frame) -> Quality:
        return self._quality.analyse(frame)

    def run(self, frame: Frame, watch: Stopwatch) -> Outcome:
        with watch.stage("prepare"):
            plane = monochrome(frame)
        with watch.stage("quality"):
            quality = self._quality.analyse(frame, plane)
        with watch.stage("inference"):
            found, problem = self._segment(frame, plane, quality)
        with watch.stage("products"):
            pictures = [preview(frame)]
            spoilt = region_overlay(frame, quality)
            if spoilt is not None:
                pictures.append(spoilt)
        findings = [Finding("quality", quality.model, quality_payload(quality))]
        if problem is not None:
            findings.append(Finding("segmentation", self._segmentation.identity, {"skipped": problem}))
        findings += [
            Finding(f"segmentation-{item.event_type.value}", item.model, segmentation_payload(item))
            for item in found
        ]
        return Outcome(
            quality=quality,
            findings=tuple(findings),
            pictures=tuple(pictures),
            segmentations=found,
            looked_for=self._segmentation.events_of(frame),
            preview_affine=preview_affine(frame),
            network=self._segmentation.name if found else None,
        )

    def _segment(
        self, frame: Frame, plane: Plane, quality: Quality
    ) -> tuple[tuple[Segmentation, ...], str | None]:
        """Segmentations, or why there are none although the channel is one that is segmented."""
        if not self._segmentation.events_of(frame):
            return (), None
        hiding = [item.cause.value for item in quality.causes if item.cause in _HIDING]
        if quality.is_degraded and hiding:
            return (), f"the frame is degraded: {', '.join(hiding)}"
        try:
            return self._segmentation.analyse(frame, plane), None
        except UnusableInputError as error:  # it was read and scored: only its regions cannot be had
            return (), str(error)


def segmentation_payload(segmentation: Segmentation) -> dict[str, Any]:
    """What a result keeps of a segmentation; the regions themselves have rows of their own."""
    return {
        "event_type": segmentation.event_type.value,
        "model": segmentation.model.label,
        "thresholds": {name.value: value for name, value in segmentation.thresholds.items()},
        "disk_fraction": {name.value: round(value, 6) for name, value in segmentation.disk_fraction.items()},
        "regions": len(segmentation.regions),
        "extent_px": list(segmentation.extent_px),
    }
