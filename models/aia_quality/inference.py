"""Judge one coronal frame: measures, header, score (numpy and OpenCV, no network)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.aia_quality.coarse import Coarse
from models.aia_quality.header import causes_of
from models.aia_quality.measures import Measures, Spoilt, gather
from models.sdo_quality_word import quality_word
from models.thresholds import CERTAIN, PLAIN, Thresholds, badness_of, probable_causes, score_of
from observatory.analysis import Cause, ModelIdentity, Quality
from observatory.errors import UnusableInputError
from observatory.euv import Plane, disk_of, monochrome
from observatory.euv.disk import standard_pointing
from observatory.euv.limb import limb_height
from observatory.euv.plane import channel_angstrom, is_rate
from observatory.frame import Frame, Pointing

FloatArray = NDArray[np.floating]

_FOLDER = Path(__file__).parent
_PICTURE = "strangeness"  # name of the calibration of pictures; there is no other
_NOT_SEEN = 0.5  # share of the disk, and of its limb, in the frame below which the limb is not asked for
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
        self._thresholds = Thresholds(
            self.name, _FOLDER, is_calibrated=is_calibrated, options="--data FOLDER"
        )

    @property
    def identity(self) -> ModelIdentity:
        """What results keep of this model: the sha256 is that of version, thresholds and calibration."""
        return self._thresholds.identity

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
            frame.header, self._thresholds["quality_bits"], is_whole=is_whole
        ).items():
            ratios[cause] = max(ratios.get(cause, 0.0), ratio)
        word = quality_word(frame.header)
        measures = found.to_measures() | ({} if word is None else {"quality_word": float(word)})
        return Reading(ratios, measures, spoilt, coarse, plane.is_picture)

    def judge(self, reading: Reading) -> Quality:
        """Turn what was measured into a score, causes and a p-value."""
        badness = badness_of(reading.ratios)
        score = score_of(badness)
        region, extent = _region(reading)
        return Quality(
            score=score,
            is_degraded=score < 0.5,
            p_value=self._thresholds.p_value(_PICTURE, reading.strangeness) if reading.is_picture else None,
            causes=probable_causes(reading.ratios),
            model=self.identity,
            measures={**reading.measures, "badness": badness},
            region_map=region,
            region_extent_px=extent,
        )

    def _pixel_ratios(
        self, found: Measures, frame: Frame, plane: Plane, disk: Pointing
    ) -> dict[Cause, float]:
        shares, radii, limits = (self._thresholds[key] for key in ("shares", "radii", "level"))
        ratios: dict[Cause, float] = {
            Cause.MISSING_DATA: found.missing / shares["missing"],
            Cause.ECLIPSE: found.shadow / shares["shadow"],
            Cause.SPIKES: found.spikes / shares["spikes"],
        }
        bleeds = found.bleeding >= shares["bleeding"]
        ratios[Cause.OVEREXPOSED] = found.saturated / shares["saturated_bleeding" if bleeds else "saturated"]
        is_clear = found.limb_certainty >= self._thresholds["limb"]["clear"]
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
            return {Cause.MISSING_DATA: CERTAIN}
        if found.top <= (_DARKNESS if plane.is_picture else 0.0):
            ratios = {Cause.UNDEREXPOSED: CERTAIN}
        sees_limb = found.limb_certainty >= self._thresholds["limb"]["seen"]
        hidden = ratios.get(Cause.ECLIPSE, 0.0) >= 1 or ratios.get(Cause.MISSING_DATA, 0.0) >= 1
        shows_limb = min(found.in_frame, _limb_in_frame(plane, disk)) >= _NOT_SEEN
        if not sees_limb and not hidden and shows_limb:
            ratios[Cause.NO_TARGET] = PLAIN
        return ratios


def _limb_in_frame(plane: Plane, disk: Pointing) -> float:
    """Share of the limb that lies inside the picture: cut-outs of the middle of the disk have none."""
    height, width = plane.pixels.shape
    angle = np.arange(0.0, 2 * np.pi, np.pi / 180)
    x = disk.center_x_px + disk.radius_px * np.cos(angle)
    y = disk.center_y_px + disk.radius_px * np.sin(angle)
    return float(np.mean((x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)))


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
