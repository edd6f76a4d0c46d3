"""All-sky frames: quality, class and cloud of the sky, the night's lines, disturbance, preview."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

import structlog

from models.allsky_quality import AllSkyQuality
from models.allsky_quality.inference import Reading
from models.aurora.inference import AuroraModel, Look
from models.disturbance.inference import load_disturbance
from models.runtime import Runtime
from observatory.analysis import ModelIdentity, Quality, Sky
from observatory.fisheye import Fisheye
from observatory.frame import Frame
from observatory.keogram import SkySlices, slices_of
from observatory.sky_facts import facts_of
from observatory.sky_view import circle_of, for_analysis, reduction
from observatory.storage.results import quality_payload
from observatory.storage.skies import ANALYSIS, DISTURBANCE_ANALYSIS, disturbance_payload, sky_payload
from workers.pipelines.base import Finding, Outcome, Pipeline, Stopwatch
from workers.products.cloud_map import cloud_overlay
from workers.products.preview import preview, region_overlay

log = structlog.get_logger(__name__)

_REMEMBERED = 4  # skies of each camera: workers share a camera's frames, and films come in pieces


@dataclass(frozen=True)
class Analysis:
    """What was found of one frame, and what it was found on.

    Attributes
    ----------
    quality : Quality
    sky : Sky
    small : Frame
        The frame at the size of its analysis.
    circle : Fisheye or None
        In pixels of `small`.
    look : Look
    """

    quality: Quality
    sky: Sky
    small: Frame
    circle: Fisheye | None
    look: Look


class AllSkyPipeline(Pipeline):
    """Any camera of the whole sky, colour or grey."""

    family = "allsky"

    def __init__(self, runtime: Runtime, aurora: AuroraModel | None = None) -> None:
        super().__init__(runtime)
        self._quality = AllSkyQuality()
        self._aurora = aurora or AuroraModel(runtime)
        self._stations = {name: load_disturbance(path) for name, path in runtime.disturbance.items()}
        for name, station in self._stations.items():
            if not station.reads(self._aurora.identity):
                wanted = station.model.sources.features_model
                log.warning("disturbance_of_another_network", instrument=name, wanted=wanted)
        self._seen = _SeenSkies()

    @property
    def models(self) -> tuple[ModelIdentity, ...]:
        stations = (station.identity for station in self._stations.values())
        return (self._quality.identity, self._aurora.identity, *stations)

    def warm_up(self) -> None:
        self._aurora.warm_up()

    def quality(self, frame: Frame) -> Quality:
        return self._analyse(frame, Stopwatch()).quality

    def score(self, frame: Frame) -> tuple[Quality, Sky]:
        """Quality and sky of one frame, and nothing else."""
        found = self._analyse(frame, Stopwatch(), has_map=False)
        return found.quality, found.sky

    def run(self, frame: Frame, watch: Stopwatch) -> Outcome:
        found = self._analyse(frame, watch)
        with watch.stage("products"):
            pictures = [preview(frame)]
            overlays = (
                region_overlay(frame, found.quality),
                cloud_overlay(found.small, found.look, found.circle),
            )
            for overlay in overlays:
                if overlay is not None:
                    pictures.append(overlay)
        findings = [
            Finding("quality", found.quality.model, quality_payload(found.quality)),
            Finding(ANALYSIS, found.sky.model, sky_payload(found.sky) | _circle_payload(frame, found)),
        ]
        station = self._stations.get(frame.instrument)
        disturbance = None if station is None else station.predict(found.sky)
        if disturbance is not None:
            payload = disturbance_payload(disturbance)
            findings.append(Finding(DISTURBANCE_ANALYSIS, disturbance.model, payload))
        return Outcome(
            quality=found.quality,
            findings=tuple(findings),
            pictures=tuple(pictures),
            network=self._aurora.name if found.sky.sky_class is not None else None,
            sky=found.sky,
            slices=_slices(found),
            disturbance=disturbance,
        )

    def _analyse(self, frame: Frame, watch: Stopwatch, *, has_map: bool = True) -> Analysis:
        with watch.stage("prepare"):
            small = for_analysis(frame)
            circle = circle_of(small)
            facts = facts_of(frame)
        with watch.stage("quality"):
            reading = self._quality.read(small, circle, facts)
            if self._seen.has_another(frame, reading):
                reading = reading.as_frozen()
        with watch.stage("inference"):
            look = self._aurora.look(small, circle, facts, reading.hidden, has_map=has_map)
        with watch.stage("quality"):
            quality = _in_pixels_of(
                frame, small, self._quality.judge(reading, look.sky, look.cloud, look.dome, has_map=has_map)
            )
        return Analysis(quality, look.sky, small, circle, look)


class _SeenSkies:
    """The last skies of each camera in this process: a camera that hangs sends the same one again."""

    def __init__(self) -> None:
        self._skies: dict[str, OrderedDict[int, tuple[object, ...]]] = {}
        self._lock = threading.Lock()

    def has_another(self, frame: Frame, reading: Reading) -> bool:
        """Whether the same sky came before in another frame; a frame that comes again is not another."""
        if reading.digest is None:
            return False
        name = (frame.sha256 or frame.file_name, frame.index, frame.date_obs)
        with self._lock:
            skies = self._skies.setdefault(frame.instrument, OrderedDict())
            first = skies.setdefault(reading.digest, name)
            skies.move_to_end(reading.digest)
            while len(skies) > _REMEMBERED:
                skies.popitem(last=False)
        return first != name


def _in_pixels_of(frame: Frame, small: Frame, quality: Quality) -> Quality:
    """The same, its map laid on the frame instead of the smaller one that was analysed."""
    if quality.region_extent_px is None or small is frame:
        return quality
    factor = reduction(frame, small.pixels)
    x0, y0, x1, y1 = ((edge + 0.5) * factor - 0.5 for edge in quality.region_extent_px)
    return replace(quality, region_extent_px=(x0, y0, x1, y1))


def _slices(found: Analysis) -> SkySlices | None:
    return None if found.circle is None else slices_of(found.small, found.circle)


def _circle_payload(frame: Frame, found: Analysis) -> dict[str, Any]:
    """Where the sky was taken to lie, in pixels of the frame."""
    circle = found.circle
    if circle is None:
        return {"circle": None}
    whole = circle.scaled(reduction(frame, found.small.pixels))
    return {
        "circle": {
            "center_x_px": round(float(whole.center_x_px), 2),
            "center_y_px": round(float(whole.center_y_px), 2),
            "radius_px": round(float(whole.radius_px), 2),
            "radius_y_px": round(float(whole.radius_px * whole.aspect), 2),
            "source": whole.source,
        }
    }
