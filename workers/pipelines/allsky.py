"""All-sky frames: recognised, read and shown; their sky class is another analysis."""

from __future__ import annotations

from observatory.frame import Frame
from workers.pipelines.base import Outcome, Pipeline, Stopwatch
from workers.products.preview import preview


class AllSkyPipeline(Pipeline):
    """A preview, and no analysis yet."""

    family = "allsky"

    def run(self, frame: Frame, watch: Stopwatch) -> Outcome:
        with watch.stage("products"):
            return Outcome(pictures=(preview(frame),))
