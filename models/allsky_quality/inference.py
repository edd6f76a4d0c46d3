"""Judge one all-sky frame: measures, Sun and Moon, cloud, score (numpy and OpenCV, no network of its own)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.allsky_quality.measures import Glare, Measures, gather, sky_digest
from models.allsky_quality.plane import RADIUS, Plane
from models.thresholds import CERTAIN, PLAIN, Thresholds, badness_of, probable_causes, score_of
from observatory.analysis import Cause, ModelIdentity, Quality, Sky, SkyFacts
from observatory.fisheye import Fisheye
from observatory.frame import Frame

FloatArray = NDArray[np.floating]

_FOLDER = Path(__file__).parent
_BLACK, _WHITE = 0.1, 0.9  # of the largest value: a frame of one value that is neither shows nothing known


@dataclass(frozen=True)
class Reading:
    """All that was found of a frame before it is scored.

    Attributes
    ----------
    ratios : Mapping[Cause, float]
        How far each cause is beyond its threshold; 1 is at it.
    measures : Mapping[str, float]
    hidden : str or None
        Why nothing can be said of the sky, in words.
    digest : int or None
        The same for frames with the same sky to the last bit; None where there is nothing to compare.
    plane : Plane or None
    glare : Glare or None
    circle : Fisheye or None
    shape : tuple (height, width)
        Of the frame that was measured.
    """

    ratios: Mapping[Cause, float]
    measures: Mapping[str, float]
    hidden: str | None
    digest: int | None
    shape: tuple[int, int]
    plane: Plane | None = None
    glare: Glare | None = None
    circle: Fisheye | None = None

    @property
    def group(self) -> str:
        """Kind of frame, to which a calibration may belong."""
        return "counts" if self.plane is None or not self.plane.is_picture else "picture"

    def as_frozen(self) -> Reading:
        """What it is when the camera has sent the very same sky before."""
        return replace(self, ratios={**self.ratios, Cause.FROZEN: PLAIN})


class AllSkyQuality:
    """The quality model of all-sky frames.

    Parameters
    ----------
    is_calibrated : bool
        Read the calibration of the p-value; without it there is none.

    Raises
    ------
    ModelError
        When its thresholds or its calibration are missing or altered.
    """

    name = "allsky_quality"

    def __init__(self, *, is_calibrated: bool = True) -> None:
        self._thresholds = Thresholds(self.name, _FOLDER, is_calibrated=is_calibrated)

    @property
    def identity(self) -> ModelIdentity:
        """What results keep of this model: the sha256 is that of version, thresholds and calibration."""
        return self._thresholds.identity

    def read(self, frame: Frame, circle: Fisheye | None, facts: SkyFacts) -> Reading:
        """Measure a frame.

        Parameters
        ----------
        frame : Frame
            At the size of the analysis; see `observatory.sky_view.for_analysis`.
        circle : Fisheye or None
            Where the sky lies in it; None where that was not found.
        facts : SkyFacts
        """
        shape = (frame.height, frame.width)
        if circle is None:
            return self._without_circle(frame, shape)
        found, plane, glare = gather(frame, circle)
        ratios = self._ratios(found, plane, glare, facts)
        measures = found.to_measures()
        if glare is not None:
            measures |= {"glare_core": glare.core, "glare_halo": glare.halo, "glare_contrast": glare.contrast}
        # A sky of one value, black or white, is the same every time.
        digest = sky_digest(plane) if found.top - found.level > 0 and found.noise > 0 else None
        return Reading(ratios, measures, self._hidden(found, ratios), digest, shape, plane, glare, circle)

    def judge(
        self,
        reading: Reading,
        sky: Sky | None = None,
        cloud: FloatArray | None = None,
        dome: float | None = None,
        *,
        has_map: bool = True,
    ) -> Quality:
        """Turn what was measured into a score, causes, a p-value and a map of what is spoilt.

        Parameters
        ----------
        sky : Sky or None
            What was said of its cloud.
        cloud : ndarray, shape (n, n), or None
            Probability of cloud on the box around the circle; NaN where nothing is known.
        dome : float or None
            How far the dome is beyond being called covered by dew or snow, 1 is at it.
        has_map : bool
            Whether the map of what is spoilt is wanted.
        """
        ratios = dict(reading.ratios)
        if dome is not None and not (sky is not None and _shows_aurora(sky)):
            ratios[Cause.DEW_OR_SNOW] = dome  # aurora does not shine through what hides the sky
        if sky is not None and sky.facts.moon_elevation_deg is None and _shows_aurora(sky):
            ratios.pop(Cause.MOON_GLARE, None)  # where nothing but the picture tells of a Moon
        if sky is not None and sky.cloud_cover is not None:
            ratios[Cause.CLOUD] = sky.cloud_cover / self._thresholds["shares"]["cloud"]
        badness = badness_of(ratios)
        score = score_of(badness)
        region, extent = _region(reading, cloud) if has_map else (None, None)
        return Quality(
            score=score,
            is_degraded=score < 0.5,
            p_value=self._thresholds.p_value(reading.group, max(ratios.values(), default=0.0)),
            causes=probable_causes(ratios),
            model=self.identity,
            measures={**reading.measures, "badness": badness},
            region_map=region,
            region_extent_px=extent,
        )

    def _ratios(
        self, found: Measures, plane: Plane, glare: Glare | None, facts: SkyFacts
    ) -> dict[Cause, float]:
        shares, light = self._thresholds["shares"], self._thresholds["light"]
        if found.missing >= 0.999:
            return {Cause.MISSING_DATA: CERTAIN}
        ratios = {Cause.MISSING_DATA: found.missing / shares["missing"]}
        if self._is_dark(found, plane):
            return ratios | {Cause.LENS_CAP: PLAIN, Cause.UNDEREXPOSED: 2.0}
        is_moon = self._is_moon(glare, facts)
        burnt = found.saturated - (glare.core if glare is not None and is_moon else 0.0)
        ratios[Cause.OVEREXPOSED] = max(burnt, 0.0) / shares["saturated"]
        ratios[Cause.UNDEREXPOSED] = light["least_signal"] / max(found.signal, 1e-3)
        if plane.is_picture:
            weak = light["least_picture"] / max(found.level, 1e-4)
            ratios[Cause.UNDEREXPOSED] = max(ratios[Cause.UNDEREXPOSED], weak)
        if glare is not None and is_moon:
            ratios[Cause.MOON_GLARE] = glare.halo / self._thresholds["moon"]["halo"]
        ratios[Cause.TWILIGHT] = self._twilight(found, facts)
        return ratios

    def _is_dark(self, found: Measures, plane: Plane) -> bool:
        """Whether no light reached the detector: neither the whole nor the brightest part rises above noise."""
        light = self._thresholds["light"]
        if found.signal >= light["no_signal"] and found.noise > 0.0 and not plane.is_picture:
            return False
        if plane.is_picture:
            return found.top < light["black"]
        x0, _, x1, _ = plane.extent_px
        pixels_a_cell = max(((x1 - x0) / plane.light.shape[1]) ** 2, 1.0)
        # Means of few pixels scatter, and the brightest hundredth of them lies 2.3 sigma above the rest.
        cell_noise = found.noise / np.sqrt(pixels_a_cell)
        return bool(found.top < (light["nothing"] + 2.3) * cell_noise) or found.top <= 0.0

    def _is_moon(self, glare: Glare | None, facts: SkyFacts) -> bool:
        limits = self._thresholds["moon"]
        if glare is None:
            return False
        if facts.moon_elevation_deg is not None and facts.moon_elevation_deg < limits["down_deg"]:
            return False
        if glare.green > limits["most_green"]:
            return False
        is_bright = glare.contrast >= limits["least_contrast"] and glare.core >= limits["least_core"]
        return is_bright and glare.saturated >= limits["least_saturated"]

    def _twilight(self, found: Measures, facts: SkyFacts) -> float:
        sun = self._thresholds["sun"]
        if facts.sun_elevation_deg is not None:
            return float(2.0 ** min((facts.sun_elevation_deg - sun["dark_deg"]) / sun["double_deg"], 4.0))
        if found.blue is None:
            return 0.0
        # A third is the share of a colourless sky.
        hue = max(found.blue - 1.0 / 3.0, 0.0) / (sun["blue"] - 1.0 / 3.0)
        return hue * min(found.level / sun["blue_level"], 1.0)

    def _hidden(self, found: Measures, ratios: Mapping[Cause, float]) -> str | None:
        limits = self._thresholds["judged"]
        if found.missing >= limits["missing"]:
            return "most of the sky is missing"
        if Cause.LENS_CAP in ratios:
            return "the picture is dark: lens cap, closed shutter or a camera that is off"
        if found.saturated >= limits["saturated"]:
            return "the picture is overexposed"
        if found.signal < limits["signal"]:
            return "the sky does not stand out from the noise"
        return None

    def _without_circle(self, frame: Frame, shape: tuple[int, int]) -> Reading:
        """A frame in which no sky is seen: nothing but one value, or something else."""
        values = frame.pixels[:: max(1, shape[0] // 256), :: max(1, shape[1] // 256)]
        finite = values[np.isfinite(values)].astype(np.float64)
        if not finite.size:
            return Reading({Cause.MISSING_DATA: CERTAIN}, {}, "most of the sky is missing", None, shape)
        full = (
            float(np.iinfo(values.dtype).max) if values.dtype.kind in "iu" else max(float(finite.max()), 1.0)
        )
        low, middle, high = np.percentile(finite, (2.0, 50.0, 98.0)) / full
        measures = {"level": float(middle), "top": float(high - low)}
        if middle >= _WHITE:
            return Reading({Cause.OVEREXPOSED: PLAIN}, measures, "the picture is overexposed", None, shape)
        if middle <= _BLACK and high <= 2.0 * _BLACK:
            ratios = {Cause.LENS_CAP: PLAIN, Cause.UNDEREXPOSED: 2.0}
            reason = "the picture is dark: lens cap, closed shutter or a camera that is off"
            return Reading(ratios, measures, reason, None, shape)
        return Reading({Cause.NO_TARGET: PLAIN}, measures, None, None, shape)


def _shows_aurora(sky: Sky) -> bool:
    return (sky.aurora_probability or 0.0) >= 0.5


def _region(
    reading: Reading, cloud: FloatArray | None
) -> tuple[FloatArray | None, tuple[float, float, float, float] | None]:
    """Where cloud, glare and saturation spoil the sky, on the box around its circle."""
    plane, circle = reading.plane, reading.circle
    if plane is None or circle is None:
        return None, None
    spoilt = np.where(plane.sky, plane.saturated, 0.0).astype(np.float32)
    if reading.glare is not None and reading.ratios.get(Cause.MOON_GLARE, 0.0) > 0.0:
        spoilt = np.maximum(spoilt, reading.glare.where)
    boxed = _on_box(spoilt, circle, plane.extent_px)
    if cloud is not None:
        known = np.nan_to_num(cloud, nan=0.0).astype(np.float32)
        boxed = np.maximum(boxed, cv2.resize(known, boxed.shape[::-1], interpolation=cv2.INTER_LINEAR))
    if not boxed.any():
        return None, None
    reach_x, reach_y = circle.radius_px, circle.radius_px * circle.aspect
    extent = (
        float(circle.center_x_px - reach_x),
        float(circle.center_y_px - reach_y),
        float(circle.center_x_px + reach_x),
        float(circle.center_y_px + reach_y),
    )
    return np.clip(boxed, 0.0, 1.0), extent


def _on_box(coarse: FloatArray, circle: Fisheye, extent_px: tuple[float, float, float, float]) -> FloatArray:
    """Cut the box around the circle out of a map with an extent; what lies beyond that is 0."""
    x0, y0, x1, y1 = extent_px
    across = (np.arange(2 * RADIUS) + 0.5) / RADIUS - 1.0
    x = (circle.center_x_px + across * circle.radius_px - x0) / (x1 - x0) * coarse.shape[1] - 0.5
    y = (circle.center_y_px + across * circle.radius_px * circle.aspect - y0) / (y1 - y0) * coarse.shape[
        0
    ] - 0.5
    grid_x, grid_y = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    return np.asarray(cv2.remap(coarse.astype(np.float32), grid_x, grid_y, cv2.INTER_LINEAR, borderValue=0))
