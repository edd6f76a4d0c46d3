"""Judge one H-alpha frame: limb, facts, network, score (numpy, OpenCV and ONNX Runtime)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models import conformal
from models.halpha_quality import facts as native
from models.halpha_quality.mapping import ScoreMapping
from models.halpha_quality.preparation import (
    CROP_RADII,
    NATURAL_CONTRAST,
    PREPARATIONS,
    RAISED_CONTRAST,
    analysis_grid,
    band_rms,
    compand,
    crop_disk,
    flatten_square,
    normalise_contrast,
    remove_gradient,
)
from models.registry import ModelDescription, load
from models.runtime import Runtime, Session
from observatory.analysis import Cause, CauseProbability, ModelIdentity, Quality
from observatory.frame import Frame
from observatory.robust import quantile
from observatory.sun import LimbFit, compare_pointing, fit_limb, single_plane

FloatArray = NDArray[np.floating]

_NOT_SEEN = 0.35  # share of the disk without data beyond which the rest is not judged
_BEFORE_1_0_2 = {"spike_floor_share": 0.0}  # what parameters of then meant that do not name it
_NOT_NAMED = -10.0  # logit of a cause of which the network said nothing
_BEYOND = 60.0  # badness of pixels so large that their squares are no numbers any more

#: How sure the head must be of a cause where a fact has already disturbed what it sees.
_DOUBT = {
    Cause.OVEREXPOSED: 1.1,  # a saturated disk is flat or torn: nothing can be said
    Cause.UNDEREXPOSED: 1.1,
    Cause.SEEING: 0.95,
    Cause.DEFOCUS: 0.95,
    Cause.TRACKING: 0.95,
    Cause.MISSING_DATA: 0.9,
}


@dataclass(frozen=True)
class Reading:
    """All that was found of a frame before it is scored.

    Attributes
    ----------
    fit : LimbFit or None
    facts : Facts
    measures : dict
        The numbers that `Quality.measures` will hold.
    judged : bool
        Whether enough of a disk was seen for the network to judge it.
    region : ndarray (side, side) or None
    cause_logits : ndarray or None
    """

    fit: LimbFit | None
    facts: native.Facts
    measures: dict[str, float]
    judged: bool
    region: FloatArray | None
    cause_logits: FloatArray | None


class HalphaQuality:
    """The H-alpha quality model.

    Parameters
    ----------
    runtime : Runtime
    description : ModelDescription, optional
        Another network than the shipped one.

    Raises
    ------
    ModelError
        When the network or its calibration is missing or altered.
    """

    name = "halpha_quality"

    def __init__(self, runtime: Runtime, description: ModelDescription | None = None) -> None:
        self._runtime = runtime
        self.description = description or load(self.name)
        self._parameters: Mapping[str, Any] = self.description.parameters
        self._mapping = ScoreMapping(**self._parameters["score"])
        self._thresholds = native.Thresholds(**(_BEFORE_1_0_2 | self._parameters["thresholds"]))
        self._side = int(self._parameters["side"])
        self._preparation = str(self._parameters["preparation"])
        self._causes = tuple(Cause(name) for name in self._parameters["causes"])
        self._cause_offsets = np.array(self._parameters["cause_offsets"], np.float64)
        path = Path(self.description.path).with_name(conformal.CALIBRATION)
        stated = self._parameters["calibration_sha256"]
        known = conformal.read_calibration(path, stated, "export the family again")
        self._calibration = known["badness"]

    @property
    def identity(self) -> ModelIdentity:
        """What results keep of this model."""
        return self.description.identity

    @property
    def session(self) -> Session:
        """The network's session in this process."""
        return self._runtime.session(self.description.path)

    def warm_up(self) -> None:
        """Make the session and run it once."""
        self.session.warm_up()

    def analyse(self, frame: Frame) -> Quality:
        """Judge one frame of any size from 64 pixels and any number type."""
        return self.judge(self.read(frame), frame.pixels.shape[:2])

    def read(self, frame: Frame) -> Reading:
        """Measure a frame: limb, facts, network."""
        plane = single_plane(frame.pixels)
        fit = fit_limb(plane, frame.pointing)
        facts = native.gather(plane, fit, self._thresholds)
        measures = facts.to_measures()
        if fit is None:
            return Reading(None, facts, measures, False, None, None)
        measures |= _limb_measures(fit, frame)
        if facts.missing_fraction > 0 and plane.dtype.kind == "f":
            plane = np.nan_to_num(plane, posinf=0.0, neginf=0.0)
        halved = frame.halved if plane is frame.pixels else None
        square, usable = crop_disk(plane, fit, self._side, halved)
        usable = _usable_cells(plane, fit, facts, usable, self._side)
        disk = analysis_grid(self._side).disk
        if float(np.mean(usable[disk])) < 1 - _NOT_SEEN:
            return Reading(fit, facts, measures, False, _region(None, usable), None)
        everything = bool(usable[disk].all())
        known = None if everything else usable
        raw = flatten_square(square, known)
        contrast, fine = normalise_contrast(remove_gradient(raw, known))
        image = compand(contrast)
        if self._preparation != "flattened":
            image = PREPARATIONS[self._preparation](square, known)
        given = self.session.run({"image": image[None, None]})
        shrunk = min(1.0, NATURAL_CONTRAST / fine) if fine > RAISED_CONTRAST else 1.0
        measures |= {
            "fine_contrast": fine,
            "band_rms": band_rms(contrast),
            "structure_rms": band_rms(raw * np.float32(shrunk)),
            "content_loss": float(given["content_loss"][0]),
            "p_degraded": float(given["p_degraded"][0]),
            "transmission_rms": float(10.0 ** given["severity"][0, 0]),
            "transmission_band_rms": float(10.0 ** given["severity"][0, 1]),
        }
        measures["cloud_rms"] = self._mapping.cloud_rms(measures)
        logits = np.asarray(given["cause_logits"][0])
        seen = np.float32(self._mapping.visibility(measures, logits + self._cause_offsets))
        region = _region(given["region"][0] * seen, usable & ~_opaque(square, disk))
        return Reading(fit, facts, measures, True, region, logits)

    def judge(self, reading: Reading, shape: tuple[int, int]) -> Quality:
        """Turn what was measured into a score, causes and a p-value."""
        if reading.fit is None:
            return self._no_disk(reading)
        native_causes = dict(native.causes_of(reading.facts, reading.fit, shape, self._thresholds))
        badness = -4.0  # nothing that could be judged speaks against it
        if reading.judged:
            badness = self.badness(reading)
            if not math.isfinite(badness):
                badness = _BEYOND
        probabilities: dict[Cause, float] = {}
        if reading.cause_logits is not None:
            probabilities = self._cause_probabilities(reading, degraded=badness > 0)
            needed = max((_DOUBT[cause] for cause in native_causes if cause in _DOUBT), default=0.0)
            probabilities = {c: p for c, p in probabilities.items() if p >= needed}
        for cause, ratio in native_causes.items():
            # At the threshold even odds; twice beyond it 0.89.
            probabilities[cause] = max(probabilities.get(cause, 0.0), ratio**3 / (1 + ratio**3))
            badness = max(badness, 3.0 * float(np.log(max(ratio, 1.02))))
        score = float(1.0 / (1.0 + np.exp(np.clip(badness, -60, 60))))
        if score < 0.5 and not probabilities:
            probabilities = {Cause.UNKNOWN: 1.0 - score}
        measures = reading.measures | {"badness": badness}
        return self._quality(score, badness, probabilities, measures, reading)

    def badness(self, reading: Reading) -> float:
        """Log-odds of being degraded by what the network and the band measures found; 0 is even."""
        return self._mapping.badness(reading.measures, self._logits(reading))

    def _logits(self, reading: Reading) -> FloatArray:
        """Logits of the head's causes, shifted as calibrated."""
        if reading.cause_logits is None:
            return np.full(len(self._causes), _NOT_NAMED)
        return np.nan_to_num(np.asarray(reading.cause_logits + self._cause_offsets), nan=_NOT_NAMED)

    def _cause_probabilities(self, reading: Reading, *, degraded: bool) -> dict[Cause, float]:
        """Causes that the head names: of a degraded frame, and of one whose cloud can be seen.

        A thin cloud may be seen and named although the frame is still of use.
        """
        logits = self._logits(reading)
        if not degraded and not self._mapping.is_visible(reading.measures):
            return {}
        values = 1.0 / (1.0 + np.exp(-logits))
        found = {cause: float(v) for cause, v in zip(self._causes, values, strict=True) if v >= 0.5}
        pair = {Cause.CLOUD, Cause.THIN_CLOUD} & found.keys()
        if len(pair) == 2:  # one deck of clouds: thick or thin, not both
            del found[min(pair, key=lambda cause: found[cause])]
        if degraded and not found:  # name the likeliest rather than nothing
            best = int(np.argmax(values))
            found = {self._causes[best]: float(values[best])}
        return found

    def _no_disk(self, reading: Reading) -> Quality:
        """No limb: black, white, holes or something else than the Sun."""
        facts = reading.facts
        cause = Cause.NO_TARGET
        if facts.missing_fraction > 0.05:
            cause = Cause.MISSING_DATA
        elif facts.saturated_fraction > 0.9 or facts.exposure_fraction > 0.97:
            cause = Cause.OVEREXPOSED
        elif facts.top_level <= 0.004 * facts.full_scale:  # not even noise: no light at all
            cause = Cause.UNDEREXPOSED
        probabilities = {cause: 0.95}
        if cause is not Cause.NO_TARGET:
            probabilities[Cause.NO_TARGET] = 0.4
        return self._quality(0.01, 1e3, probabilities, reading.measures, reading)

    def _quality(
        self,
        score: float,
        badness: float,
        probabilities: Mapping[Cause, float],
        measures: Mapping[str, float],
        reading: Reading,
    ) -> Quality:
        ordered = sorted(probabilities.items(), key=lambda item: -item[1])
        extent = None
        if reading.fit is not None and reading.region is not None:
            half = reading.fit.radius_px * CROP_RADII
            x, y = reading.fit.center_x_px, reading.fit.center_y_px
            extent = (x - half, y - half, x + half, y + half)
        return Quality(
            score=score,
            is_degraded=score < 0.5,
            p_value=conformal.p_value(badness, self._calibration),
            causes=tuple(CauseProbability(cause, value) for cause, value in ordered),
            model=self.identity,
            measures={name: value for name, value in measures.items() if math.isfinite(value)},
            region_map=reading.region,
            region_extent_px=extent,
        )


def _limb_measures(fit: LimbFit, frame: Frame) -> dict[str, float]:
    measures = {
        "center_x_px": fit.center_x_px,
        "center_y_px": fit.center_y_px,
        "radius_px": fit.radius_px,
        "limb_rms_px": fit.rms_px,
        "limb_width_px": fit.width_px,
        "limb_width_anisotropy": fit.width_anisotropy,
        "limb_jitter_px": fit.jitter_px,
        "limb_fraction_accepted": fit.fraction_accepted,
        "limb_fraction_in_frame": fit.fraction_in_frame,
        "cut_off_fraction": fit.cut_off_fraction(frame.height, frame.width),
    }
    if frame.pointing is not None:
        apart = compare_pointing(fit, frame.pointing)
        measures["header_offset_px"] = apart.offset_px
        measures["header_radius_ratio"] = apart.radius_ratio
    return {name: float(value) for name, value in measures.items()}


def _usable_cells(
    plane: np.ndarray, fit: LimbFit, facts: native.Facts, seen: NDArray[np.bool_], side: int
) -> NDArray[np.bool_]:
    """Cells inside the picture and, where there are holes, mostly without them."""
    # A few zeros in whole counts are clipped filaments of stretched pictures; NaN is always a hole.
    if facts.missing_fraction < (1e-4 if plane.dtype.kind == "f" else 0.005):
        return seen
    hole = native.holes(plane).astype(np.uint8) * np.uint8(255)
    share, _ = crop_disk(hole, fit, side)
    grown = cv2.dilate(share, np.ones((3, 3), np.uint8))  # a cell beside a hole holds some of it
    return seen & (grown < 3.0)


def _opaque(square: FloatArray, disk: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Cells so dark that something solid stands before them: the limb itself keeps a third."""
    bright = quantile(square[disk][::5], 0.9)
    return square < 0.15 * bright


def _region(region: FloatArray | None, usable: NDArray[np.bool_]) -> FloatArray:
    """Spoilt probability inside the disk; cells without light or data are spoilt for certain."""
    disk = analysis_grid(usable.shape[0]).disk
    found = np.zeros(usable.shape, np.float32) if region is None else region
    return np.where(disk, np.where(usable, found, 1.0), 0.0).astype(np.float32)
