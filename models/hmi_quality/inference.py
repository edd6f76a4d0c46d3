"""Judge one frame of the photosphere: measures, header, score (numpy and OpenCV, no network)."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.hmi_quality.coarse import Coarse
from models.hmi_quality.header import causes_of, quality_word
from models.hmi_quality.measures import GRANULATION_ARCSEC, Measures, gather
from models.hmi_quality.plane import Plane, Scene, gauss_per_unit, plane_of, scene_of
from models.hmi_quality.shadow import Hidden
from observatory.analysis import Cause, CauseProbability, ModelIdentity, Quality
from observatory.errors import ModelError
from observatory.frame import Frame

FloatArray = NDArray[np.floating]

_FOLDER = Path(__file__).parent
_THRESHOLDS = "thresholds.toml"
_CALIBRATION = "calibration.npz"
_CALIBRATE = "calibrate again: heliowatch models export hmi_quality --data FOLDER"
_BEST = -4.0  # log-odds of a frame against which nothing speaks: score 0.982
_STEEPNESS = 3.0  # score 0.5 at a threshold, 0.11 at twice it
_ALL, _MOSTLY = 0.999, 0.9  # shares of the Sun in view
_WRONG_UNIT = 4.0  # ratio of a field in a unit of something else: score 0.015
_UNJUDGED = 0.8  # ratio of a frame too small to look at: score 0.66, nothing speaks against it, nor for it
_CERTAIN = 1e3  # ratio of a cause that leaves no doubt


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
        try:
            self._parameters: Mapping[str, Any] = tomllib.loads(
                (_FOLDER / _THRESHOLDS).read_text(encoding="utf-8")
            )
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise ModelError(f"{_FOLDER / _THRESHOLDS} cannot be read: {error}; restore it") from error
        self._calibration = self._read_calibration() if is_calibrated else {}

    @cached_property
    def identity(self) -> ModelIdentity:
        """What results keep of this model: the sha256 is that of version, thresholds and calibration."""
        stated = json.dumps(self._parameters, sort_keys=True, separators=(",", ":"))
        sha256 = hashlib.sha256(stated.encode()).hexdigest()
        return ModelIdentity(self.name, str(self._parameters["version"]), sha256, self._parameters)

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
        for cause, ratio in causes_of(frame.header, self._parameters["quality_bits"]).items():
            ratios[cause] = max(ratios.get(cause, 0.0), ratio)
        word = quality_word(frame.header)
        measures = found.to_measures() | ({} if word is None else {"quality_word": float(word)})
        return Reading(ratios, measures, hidden, coarse, _group(plane, scene))

    def judge(self, reading: Reading) -> Quality:
        """Turn what was measured into a score, causes and a p-value."""
        worst = max(reading.ratios.values(), default=0.0)
        badness = max(_BEST, _STEEPNESS * float(np.log(max(worst, 1e-6))))
        score = float(1.0 / (1.0 + np.exp(min(badness, 60.0))))
        causes = {
            cause: ratio**_STEEPNESS / (1.0 + ratio**_STEEPNESS)
            for cause, ratio in ((cause, min(ratio, _CERTAIN)) for cause, ratio in reading.ratios.items())
            if ratio >= 1.0
        }
        ordered = sorted(causes.items(), key=lambda item: -item[1])
        region, extent = _region(reading)
        return Quality(
            score=score,
            is_degraded=score < 0.5,
            p_value=self._p_value(reading),
            causes=tuple(CauseProbability(cause, float(value)) for cause, value in ordered),
            model=self.identity,
            measures={**reading.measures, "badness": badness},
            region_map=region,
            region_extent_px=extent,
        )

    def _ratios(self, found: Measures, plane: Plane, scene: Scene) -> dict[Cause, float]:
        if found.unmeasured >= _ALL:
            return {Cause.MISSING_DATA: _CERTAIN}
        if found.range <= 0.0:
            return {Cause.NO_TARGET: _CERTAIN}
        if found.negative > _MOSTLY:  # no brightness: the other measures mean nothing
            return {Cause.UNKNOWN: _CERTAIN}
        shares = self._parameters["shares"]
        ratios = {
            Cause.MISSING_DATA: found.missing / shares["missing"],
            Cause.ECLIPSE: found.shadow / shares["shadow"],
            Cause.SPIKES: found.spikes / shares["spikes"],
            Cause.OVEREXPOSED: found.saturated / shares["saturated"],
            Cause.UNKNOWN: found.negative / shares["negative"],
            Cause.TRACKING: (found.roll_deg or 0.0) / self._parameters["degrees"]["roll"],
        }
        ratios[Cause.OFF_CENTRE] = self._place(found, is_hidden=_is_hidden(ratios))
        if plane.is_field:
            self._judge_field(ratios, found, plane)
        else:
            self._judge_continuum(ratios, found, plane, scene)
        if not found.is_judged:
            ratios[Cause.UNKNOWN] = max(ratios[Cause.UNKNOWN], _UNJUDGED)
        if found.sees_limb == 0.0 and not _is_hidden(ratios):
            ratios[Cause.NO_TARGET] = max(ratios.get(Cause.NO_TARGET, 0.0), 4.0)
        return ratios

    def _place(self, found: Measures, *, is_hidden: bool) -> float:
        """How far the disk lies from where it should; the limb of a hidden disk is not asked."""
        radii = self._parameters["radii"]
        return max(
            found.cut_off / self._parameters["shares"]["cut_off"],
            0.0 if is_hidden else (found.offset or 0.0) / radii["offset"],
            (found.off_middle or 0.0) / radii["off_middle"],
        )

    def _judge_field(self, ratios: dict[Cause, float], found: Measures, plane: Plane) -> None:
        limits = self._parameters["field"]
        if plane.frame.unit and not plane.is_picture and gauss_per_unit(plane.frame) is None:
            ratios[Cause.UNKNOWN] = _WRONG_UNIT
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
        level, focus = self._parameters["level"], self._parameters["focus"]
        is_counts = (plane.frame.unit or "").strip().upper().startswith("DN")
        if plane.is_picture:
            ratios[Cause.UNDEREXPOSED] = level["picture"] / max(found.level, 1e-3)
        elif is_counts:
            ratios[Cause.UNDEREXPOSED] = level["least_dn"] / max(found.level, 1e-3)
            ratios[Cause.OVEREXPOSED] = max(ratios[Cause.OVEREXPOSED], found.level / level["most_dn"])
        elif found.level <= 0:
            ratios[Cause.UNDEREXPOSED] = 4.0
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

    def _p_value(self, reading: Reading) -> float | None:
        """Share of good calibration frames at least as bad (Vovk et al. 2005, with this one counted)."""
        known = self._calibration.get(reading.group)
        if known is None:
            return None
        at_least = len(known) - int(np.searchsorted(known, reading.strangeness - 1e-9))
        return (at_least + 1) / (len(known) + 1)

    def _read_calibration(self) -> Mapping[str, FloatArray]:
        path = _FOLDER / _CALIBRATION
        expected = self._parameters["calibration_sha256"]
        if not expected:
            return {}
        if not path.exists():
            raise ModelError(f"{path} is missing: restore it, or {_CALIBRATE}")
        if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise ModelError(f"{path} was altered: restore it, or {_CALIBRATE}")
        with np.load(path) as stored:
            return {name: np.sort(stored[name].astype(np.float64)) for name in stored.files}


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
