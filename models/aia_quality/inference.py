"""Judge one coronal frame: measures, header, score (numpy and OpenCV, no network)."""

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

from models.aia_quality.coarse import Coarse
from models.aia_quality.header import causes_of, quality_word
from models.aia_quality.measures import Measures, Spoilt, gather
from observatory.analysis import Cause, CauseProbability, ModelIdentity, Quality
from observatory.errors import ModelError, UnusableInputError
from observatory.euv import Plane, disk_of, monochrome
from observatory.euv.disk import standard_pointing
from observatory.euv.limb import limb_height
from observatory.euv.plane import channel_angstrom, is_rate
from observatory.frame import Frame, Pointing

FloatArray = NDArray[np.floating]

_FOLDER = Path(__file__).parent
_THRESHOLDS = "thresholds.toml"
_CALIBRATION = "calibration.npz"
_CALIBRATE = "calibrate again: heliowatch models export aia_quality --data FOLDER"
_BEST = -4.0  # log-odds of a frame against which nothing speaks: score 0.982
_STEEPNESS = 3.0  # score 0.5 at a threshold, 0.11 at twice it
_NOT_SEEN = 0.5  # share of the disk in the frame below which its limb is not asked for
_DIM = 0.6  # of the threshold: good pictures of the darkest archive reach 0.41
_DARKNESS = 3.0  # of 255, or counts: nothing at all is brighter


@dataclass(frozen=True)
class Reading:
    """All that was found of a frame before it is scored.

    Attributes
    ----------
    ratios : Mapping[Cause, float]
        How far each cause is beyond its threshold; 1 is at it.
    measures : Mapping[str, float]
    spoilt : Spoilt or None
    coarse : Coarse or None
    is_picture : bool
    """

    ratios: Mapping[Cause, float]
    measures: Mapping[str, float]
    spoilt: Spoilt | None
    coarse: Coarse | None
    is_picture: bool

    @property
    def strangeness(self) -> float:
        """Worst ratio, what the p-value ranks; archives differ in how bright they show a good disk."""
        level = self.ratios.get(Cause.UNDEREXPOSED, 0.0)
        others = (ratio for cause, ratio in self.ratios.items() if cause is not Cause.UNDEREXPOSED)
        return max(max(others, default=0.0), level if level > _DIM else 0.0)


class AiaQuality:
    """The quality model of coronal frames.

    Parameters
    ----------
    is_calibrated : bool
        Read the calibration of the p-value; without it there is none.

    Raises
    ------
    ModelError
        When its thresholds or its calibration are missing or altered.
    """

    name = "aia_quality"

    def __init__(self, *, is_calibrated: bool = True) -> None:
        try:
            self._parameters: Mapping[str, Any] = tomllib.loads(
                (_FOLDER / _THRESHOLDS).read_text(encoding="utf-8")
            )
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise ModelError(f"{_FOLDER / _THRESHOLDS} cannot be read: {error}; restore it") from error
        self._calibration = self._read_calibration() if is_calibrated else None

    @cached_property
    def identity(self) -> ModelIdentity:
        """What results keep of this model: the sha256 is that of version, thresholds and calibration."""
        stated = json.dumps(self._parameters, sort_keys=True, separators=(",", ":"))
        sha256 = hashlib.sha256(stated.encode()).hexdigest()
        return ModelIdentity(self.name, str(self._parameters["version"]), sha256, self._parameters)

    def analyse(self, frame: Frame, plane: Plane | None = None) -> Quality:
        """Judge one AIA or SUVI frame.

        Parameters
        ----------
        plane : Plane, optional
            The frame's brightness when it has been made already.

        Raises
        ------
        UnusableInputError
            When the frame's colours are of no known table; see `observatory.euv.monochrome`.
        """
        return self.judge(self.read(frame, plane))

    def read(self, frame: Frame, plane: Plane | None = None) -> Reading:
        """Measure a frame."""
        plane = monochrome(frame) if plane is None else plane
        disk = _disk(frame, plane)
        found, spoilt, coarse = gather(plane, disk, limb_height(channel_angstrom(frame)))
        ratios = self._pixel_ratios(found, frame, plane, disk)
        is_whole = frame.header.get("TOTVALS") in (frame.width * frame.height, None)
        for cause, ratio in causes_of(
            frame.header, self._parameters["quality_bits"], is_whole=is_whole
        ).items():
            ratios[cause] = max(ratios.get(cause, 0.0), ratio)
        word = quality_word(frame.header)
        measures = found.to_measures() | ({} if word is None else {"quality_word": float(word)})
        return Reading(ratios, measures, spoilt, coarse, plane.is_picture)

    def judge(self, reading: Reading) -> Quality:
        """Turn what was measured into a score, causes and a p-value."""
        worst = max(reading.ratios.values(), default=0.0)
        badness = max(_BEST, _STEEPNESS * float(np.log(max(worst, 1e-6))))
        score = float(1.0 / (1.0 + np.exp(min(badness, 60.0))))
        causes = {
            cause: ratio**_STEEPNESS / (1.0 + ratio**_STEEPNESS)
            for cause, ratio in ((cause, min(ratio, 1e3)) for cause, ratio in reading.ratios.items())
            if ratio >= 1.0
        }
        ordered = sorted(causes.items(), key=lambda item: -item[1])
        region, extent = _region(reading)
        return Quality(
            score=score,
            is_degraded=score < 0.5,
            p_value=self._p_value(reading.strangeness) if reading.is_picture else None,
            causes=tuple(CauseProbability(cause, float(value)) for cause, value in ordered),
            model=self.identity,
            measures={**reading.measures, "badness": badness},
            region_map=region,
            region_extent_px=extent,
        )

    def _pixel_ratios(
        self, found: Measures, frame: Frame, plane: Plane, disk: Pointing
    ) -> dict[Cause, float]:
        shares, radii, limits = (self._parameters[key] for key in ("shares", "radii", "level"))
        ratios: dict[Cause, float] = {
            Cause.MISSING_DATA: found.missing / shares["missing"],
            Cause.ECLIPSE: found.shadow / shares["shadow"],
            Cause.SPIKES: found.spikes / shares["spikes"],
        }
        bleeds = found.bleeding >= shares["bleeding"]
        ratios[Cause.OVEREXPOSED] = found.saturated / shares["saturated_bleeding" if bleeds else "saturated"]
        is_clear = found.limb_certainty >= self._parameters["limb"]["clear"]
        if not found.is_cut_out:
            off_middle = np.hypot(
                disk.center_x_px - (frame.width - 1) / 2, disk.center_y_px - (frame.height - 1) / 2
            )
            ratios[Cause.OFF_CENTRE] = max(
                found.cut_off / shares["cut_off"],
                found.offset / radii["offset" if is_clear else "offset_vague"],
                float(off_middle) / disk.radius_px / radii["off_middle"],
            )
        least = limits.get("picture" if plane.is_picture else str(channel_angstrom(frame)), 0.0)
        # Rates and radiances are no counts: nothing says how much of them is noise.
        ratios[Cause.UNDEREXPOSED] = 0.0 if is_rate(frame) else least / max(found.level, 1e-3)
        if found.missing >= 1.0:
            return {Cause.MISSING_DATA: 1e3}
        if found.top <= (_DARKNESS if plane.is_picture else 0.0):
            ratios = {Cause.UNDEREXPOSED: 1e3}
        sees_limb = found.limb_certainty >= self._parameters["limb"]["seen"]
        hidden = ratios.get(Cause.ECLIPSE, 0.0) >= 1 or ratios.get(Cause.MISSING_DATA, 0.0) >= 1
        if not sees_limb and not hidden and found.in_frame >= _NOT_SEEN:
            ratios[Cause.NO_TARGET] = 4.0
        return ratios

    def _p_value(self, strangeness: float) -> float | None:
        """Share of good calibration pictures at least as bad (Vovk et al. 2005, with this one counted)."""
        if self._calibration is None:
            return None
        at_least = len(self._calibration) - int(np.searchsorted(self._calibration, strangeness - 1e-9))
        return (at_least + 1) / (len(self._calibration) + 1)

    def _read_calibration(self) -> FloatArray | None:
        path = _FOLDER / _CALIBRATION
        expected = self._parameters["calibration_sha256"]
        if not expected:
            return None
        if not path.exists():
            raise ModelError(f"{path} is missing: restore it, or {_CALIBRATE}")
        if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise ModelError(f"{path} was altered: restore it, or {_CALIBRATE}")
        with np.load(path) as stored:
            return np.sort(stored["strangeness"].astype(np.float64))


def _disk(frame: Frame, plane: Plane) -> Pointing:
    """Where the disk is said or seen to lie; where it ought to lie when nothing is seen."""
    try:
        return disk_of(frame, plane)
    except UnusableInputError:
        return standard_pointing(frame)


def _region(reading: Reading) -> tuple[FloatArray | None, tuple[float, float, float, float] | None]:
    if reading.spoilt is None or reading.coarse is None:
        return None, None
    spoilt = reading.spoilt.any
    if not spoilt.any():
        return None, None
    rows, columns = spoilt.shape
    factor = reading.coarse.factor
    return spoilt.astype(np.float32), (-0.5, -0.5, columns * factor - 0.5, rows * factor - 0.5)
