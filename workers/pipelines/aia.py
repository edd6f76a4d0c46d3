"""Coronal frames: recognised, read and shown; their regions are another analysis."""

from __future__ import annotations

from observatory.frame import Frame
from workers.pipelines.base import Outcome, Pipeline, Stopwatch
from workers.products.preview import preview


class AiaPipeline(Pipeline):
    """A preview, and no analysis yet."""

    family = "aia"

    def run(self, frame: Frame, watch: Stopwatch) -> Outcome:
        with watch.stage("products"):
            return Outcome(pictures=(preview(frame),))
