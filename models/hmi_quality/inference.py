"""Judge one frame of the photosphere: measures, header, score (numpy and OpenCV, no network)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.hmi_quality.coarse import Coarse
from models.hmi_quality.measures import GRANULATION_ARCSEC, Measures, gather
from models.hmi_quality.plane import Plane, Scene, gauss_per_unit, plane_of, scene_of
from models.hmi_quality.shadow import Hidden
from models.sdo_quality_word import quality_word, stated_bits
from models.thresholds import CERTAIN, PLAIN, Thresholds, badness_of, probable_causes, score_of
from observatory.analysis import Cause, ModelIdentity, Quality
from observatory.frame import Frame

FloatArray = NDArray[np.floating]

_FOLDER = Path(__file__).parent
_ALL, _MOSTLY = 0.999, 0.9  # shares of the Sun in view
_UNJUDGED = 0.8  # ratio of a frame too small to look at: score 0.66, nothing speaks against it, nor for it


@dataclass(frozen=True)
class Reading:
    """All that was found of a frame before it is scored.

    Attributes
    ----------
    ratios : Mapping[Cause, float]
        How far each cause is beyond its threshold; 1 is at it.
    measures : Mapping[str, float]
    hidden : Hidden
    coarse : Coarse
    group : str
        Kind of frame, to which a calibration may belong.
    """

    ratios: Mapping[Cause, float]
    measures: Mapping[str, float]
    hidden: Hidden
    coarse: Coarse
    group: str

    @property
    def strangeness(self) -> float:
        """Worst ratio, what the p-value ranks."""
        return max(self.ratios.values(), default=0.0)


class HmiQuality:
    """The quality model of HMI frames.

    Parameters
    ----------
    is_calibrated : bool
        Read the calibration of the p-value; without it there is none.

    Raises
    ------
    ModelError
        When its thresholds or its calibration are missing or altered.
    """

    name = "hmi_quality"

    def __init__(self, *, is_calibrated: bool = True) -> None:
        self._thresholds = Thresholds(
            self.name, _FOLDER, is_calibrated=is_calibrated, options="--data FOLDER"
        )

    @property
    def identity(self) -> ModelIdentity:
        """What results keep of this model: the sha256 is that of version, thresholds and calibration."""
        return self._thresholds.identity

    def analyse(self, frame: Frame) -> Quality:
        """Judge one HMI frame: continuum or line-of-sight field, full disk, cut-out or patch.

        Raises
        ------
        UnusableInputError
            When a picture's colours cannot be turned into brightness.
        """
        return self.judge(self.read(frame))

    def read(self, frame: Frame) -> Reading:
        """Measure a frame."""
        plane = plane_of(frame)
        scene = scene_of(plane)
        found, hidden, coarse = gather(plane, scene)
        ratios = self._ratios(found, plane, scene)
        for _, name in stated_bits(frame.header, self._thresholds["quality_bits"]):
            ratios[Cause(name)] = max(ratios.get(Cause(name), 0.0), PLAIN)
        word = quality_word(frame.header)
        measures = found.to_measures() | ({} if word is None else {"quality_word": float(word)})
        return Reading(ratios, measures, hidden, coarse, _group(plane, scene))

    def judge(self, reading: Reading) -> Quality:
        """Turn what was measured into a score, causes and a p-value."""
        badness = badness_of(reading.ratios)
        score = score_of(badness)
        region, extent = _region(reading)
        return Quality(
            score=score,
            is_degraded=score < 0.5,
            p_value=self._thresholds.p_value(reading.group, reading.strangeness),
            causes=probable_causes(reading.ratios),
            model=self.identity,
            measures={**reading.measures, "badness": badness},
            region_map=region,
            region_extent_px=extent,
        )

    def _ratios(self, found: Measures, plane: Plane, scene: Scene) -> dict[Cause, float]:
        if found.unmeasured >= _ALL:
            return {Cause.MISSING_DATA: CERTAIN}
        if found.range <= 0.0:
            return {Cause.NO_TARGET: CERTAIN}
        if found.negative > _MOSTLY:  # no brightness: the other measures mean nothing
            return {Cause.UNKNOWN: CERTAIN}
        shares = self._thresholds["shares"]
        ratios = {
            Cause.MISSING_DATA: found.missing / shares["missing"],
            Cause.ECLIPSE: found.shadow / shares["shadow"],
            Cause.SPIKES: found.spikes / shares["spikes"],
            Cause.OVEREXPOSED: found.saturated / shares["saturated"],
            Cause.UNKNOWN: found.negative / shares["negative"],
            Cause.TRACKING: (found.roll_deg or 0.0) / self._thresholds["degrees"]["roll"],
        }
        ratios[Cause.OFF_CENTRE] = self._place(found, is_hidden=_is_hidden(ratios))
        if plane.is_field:
            self._judge_field(ratios, found, plane)
        else:
            self._judge_continuum(ratios, found, plane, scene)
        if not found.is_judged:
            ratios[Cause.UNKNOWN] = max(ratios[Cause.UNKNOWN], _UNJUDGED)
        if found.sees_limb == 0.0 and not _is_hidden(ratios):
            ratios[Cause.NO_TARGET] = max(ratios.get(Cause.NO_TARGET, 0.0), PLAIN)
        return ratios

    def _place(self, found: Measures, *, is_hidden: bool) -> float:
        """How far the disk lies from where it should; the limb of a hidden disk is not asked."""
        radii = self._thresholds["radii"]
        return max(
            found.cut_off / self._thresholds["shares"]["cut_off"],
            0.0 if is_hidden else (found.offset or 0.0) / radii["offset"],
            (found.off_middle or 0.0) / radii["off_middle"],
        )

    def _judge_field(self, ratios: dict[Cause, float], found: Measures, plane: Plane) -> None:
        limits = self._thresholds["field"]
        if plane.frame.unit and not plane.is_picture and gauss_per_unit(plane.frame) is None:
            ratios[Cause.UNKNOWN] = PLAIN  # a field in a unit of something else
        if found.noise_gauss is not None:
            ratios[Cause.UNDEREXPOSED] = found.noise_gauss / limits["noise_gauss"]
        if found.strongest_gauss is not None:
            ratios[Cause.UNKNOWN] = max(
                ratios[Cause.UNKNOWN], found.strongest_gauss / limits["strongest_gauss"]
            )
        if found.noise_share is not None and found.strongest is not None:
            is_alone = found.strongest < limits["strongest"]
            ratios[Cause.NO_TARGET] = found.noise_share / limits["noise_share"] if is_alone else 0.0

    def _judge_continuum(
        self, ratios: dict[Cause, float], found: Measures, plane: Plane, scene: Scene
    ) -> None:
        level, focus = self._thresholds["level"], self._thresholds["focus"]
        is_counts = (plane.frame.unit or "").strip().upper().startswith("DN")
        if plane.is_picture:
            ratios[Cause.UNDEREXPOSED] = level["picture"] / max(found.level, 1e-3)
        elif is_counts:
            ratios[Cause.UNDEREXPOSED] = level["least_dn"] / max(found.level, 1e-3)
            ratios[Cause.OVEREXPOSED] = max(ratios[Cause.OVEREXPOSED], found.level / level["most_dn"])
        elif found.level <= 0:
            ratios[Cause.UNDEREXPOSED] = PLAIN
        ratios[Cause.NO_TARGET] = (found.grain or 0.0) / focus["grain"]
        if found.lag1 is not None and found.lag1 < focus["least_lag1"] and ratios[Cause.SPIKES] < 1:
            ratios[Cause.NO_TARGET] = max(
                ratios[Cause.NO_TARGET], focus["least_lag1"] / max(found.lag1, 0.05)
            )
        if ratios[Cause.NO_TARGET] >= 1:  # noise is no particles, and its dark places no shadows
            ratios[Cause.SPIKES] = ratios[Cause.ECLIPSE] = 0.0
        elif found.contrast is not None and found.lag2 is not None:
            blur = (1.0 - focus["lag2"]) / max(1.0 - found.lag2, 0.02)
            ratios[Cause.DEFOCUS] = float(np.sqrt(blur * focus["contrast"] / max(found.contrast, 1e-4)))
        elif found.limb_width_px is not None and scene.cdelt_arcsec is not None and not _is_hidden(ratios):
            most = max(
                focus["limb_arcsec"] / scene.cdelt_arcsec,
                focus["limb_px_picture" if plane.is_picture else "limb_px"],
            )
            ratios[Cause.DEFOCUS] = found.limb_width_px / most


def _is_hidden(ratios: Mapping[Cause, float]) -> bool:
    return ratios[Cause.ECLIPSE] >= 1 or ratios[Cause.MISSING_DATA] >= 1


def _group(plane: Plane, scene: Scene) -> str:
    """Kind of a frame: pictures and numbers differ, disks and patches, and what shows granules from what does not."""
    scale = scene.cdelt_arcsec
    is_fine = scale is not None and scale <= GRANULATION_ARCSEC[1]
    words = (plane.quantity.value, "picture" if plane.is_picture else "numbers", scene.extent.value)
    return "-".join((*words, "fine" if is_fine else "coarse"))


def _region(reading: Reading) -> tuple[FloatArray | None, tuple[float, float, float, float] | None]:
    spoilt = reading.hidden.missing | reading.hidden.shadow
    if not spoilt.any():
        return None, None
    rows, columns = spoilt.shape
    factor = reading.coarse.factor
    return spoilt.astype(np.float32), (-0.5, -0.5, columns * factor - 0.5, rows * factor - 0.5)
