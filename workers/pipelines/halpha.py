"""H-alpha frames: quality, preview, region map."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from models.halpha_quality.inference import HalphaQuality
from models.runtime import Runtime
from observatory.analysis import ModelIdentity, Quality
from observatory.frame import Frame
from observatory.storage.results import quality_payload
from workers.pipelines.base import Finding, Outcome, Pipeline, Stopwatch
from workers.products.preview import preview, region_overlay


class HalphaPipeline(Pipeline):
    """Full-disk H-alpha."""

    family = "halpha"

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self._quality = HalphaQuality(runtime)
        # A frame that comes alone has its preview made beside its analysis: two milliseconds less to wait.
        self._beside = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="preview")

    @property
    def models(self) -> tuple[ModelIdentity, ...]:
        return (self._quality.identity,)

    def warm_up(self) -> None:
        self._quality.warm_up()

    def quality(self, frame: Frame) -> Quality:
        return self._quality.analyse(frame)

    def run(self, frame: Frame, watch: Stopwatch) -> Outcome:
        shown = self._beside.submit(preview, frame)
        with watch.stage("inference"):
            quality = self.quality(frame)
        with watch.stage("products"):
            pictures = [shown.result()]
            overlay = region_overlay(frame, quality)
            if overlay is not None:
                pictures.append(overlay)
        return Outcome(
            quality=quality,
            findings=(Finding("quality", quality.model, quality_payload(quality)),),
            pictures=tuple(pictures),
            network=quality.model.name,
        )
