"""Fit the score and the conformal calibration on frames whose truth is known.

None of it may see the frames that test the model: simulated frames, and good frames of one's own
with injected defects, go through the real inference path; they set the scale of the severity and
the causes' offsets, and the log-odds of good frames are kept for the p-value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import cv2
import numpy as np
from numpy.typing import NDArray

from models.halpha_quality.data import HEAD_CAUSES, transmission_severity
from models.halpha_quality.inference import HalphaQuality, Reading
from models.halpha_quality.mapping import ScoreMapping
from models.halpha_quality.preparation import crop_disk
from models.simulate.degrade import Degraded, degrade
from models.simulate.halpha import HalphaSun, HalphaTelescope, SimulatedFrame
from observatory.analysis import Cause
from observatory.errors import UnusableInputError
from observatory.frame import Frame, Pointing, RowOrder
from observatory.sun import fit_limb, single_plane

FloatArray = NDArray[np.floating]

#: Transmission structure between R/12 and R/6 from which a frame is called degraded: the labels of
#: Jarolim et al. (2020) change over between 0.57 and 0.68 %, measured with the slow gradient removed.
BORDER_BAND = ScoreMapping.border
#: Frames from which something can be fitted.
LEAST_FRAMES = 50
#: Within this factor of the border a frame is left out of the fit: nobody could say.
UNCERTAIN = 1.25
#: The same for the rms over the whole disk: narrow trails and dust have little power in the band.
BORDER_RMS = 0.0125


@dataclass(frozen=True)
class TrueFrame:
    """A frame, what was done to it, and its true transmission severities (rms, band)."""

    pixels: np.ndarray
    cause: Cause | None
    degraded: Degraded | None
    rms: float
    band: float

    @property
    def is_visible(self) -> bool:
        """Spoilt enough to ask for the cause."""
        return self.cause is not None and (self.band > 0.4 * BORDER_BAND or self.rms > 0.4 * BORDER_RMS)

    @property
    def is_degraded(self) -> bool:
        """Beyond doubt."""
        return self.cause is not None and (
            self.band > BORDER_BAND * UNCERTAIN or self.rms > BORDER_RMS * UNCERTAIN
        )


def as_frame(pixels: np.ndarray) -> Frame:
    """Wrap an array for `HalphaQuality`."""
    return Frame(pixels, "halpha", RowOrder.TOP)


def simulated_frame(random: np.random.Generator) -> SimulatedFrame:
    """A good frame of some observatory: any size, filter, gradient and number type."""
    sun = HalphaSun(int(random.integers(1 << 30)), float(random.beta(1.0, 1.3)), detail=512)
    size = int(random.choice([390, 512, 640, 800, 1024], p=[0.25, 0.35, 0.2, 0.1, 0.1]))
    telescope = HalphaTelescope(
        size_px=size,
        radius_px=float(size * random.uniform(0.42, 0.485)),
        center_offset_px=(float(random.normal(0, 2)), float(random.normal(0, 2))),
        roll_deg=float(random.uniform(-30, 30)),
        contrast=float(np.exp(random.uniform(np.log(0.3), np.log(2.4)))),
        seeing_px=float(random.uniform(0.5, 1.3)),
        gradient=float(np.exp(random.uniform(np.log(0.003), np.log(0.15)))),
        flat_residual=float(np.exp(random.uniform(np.log(0.0002), np.log(0.008)))),
        limb_u=float(random.uniform(0.35, 0.85)),
        limb_v=float(random.uniform(-0.2, 0.1)),
        peak_counts=float(random.uniform(1800, 3600)),
    )
    moment = datetime(2019, 1, 1, tzinfo=UTC) + timedelta(days=float(random.uniform(0, 27)))
    return sun.frame(moment, telescope)


def film(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """As archives hold it: whole counts, eight bits, or eight bits and JPEG."""
    kind = random.random()
    if kind < 0.4 or pixels.dtype == np.uint8:
        return pixels
    peak = float(np.quantile(pixels, 0.995))
    bytes_ = np.clip(pixels * (random.uniform(170, 245) / max(peak, 1.0)), 0, 255).astype(np.uint8)
    if kind < 0.6:
        return bytes_
    _, packed = cv2.imencode(".jpg", bytes_, [cv2.IMWRITE_JPEG_QUALITY, int(random.uniform(60, 96))])
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE))


def spoil(
    pixels: np.ndarray,
    pointing: Pointing,
    cause: Cause,
    random: np.random.Generator,
    severity: float | None = None,
) -> TrueFrame:
    """Degrade a frame and note the true severities."""
    done = degrade(pixels, pointing, cause, random, severity)
    rms = band = 0.0
    if done.truth.transmission is not None:
        fit = fit_limb(pixels)
        if fit is not None:
            square, _ = crop_disk(done.truth.transmission, fit, 128)
            rms, band = transmission_severity(square, 128)
    return TrueFrame(done.pixels, cause, done, rms, band)


#: Peak opacities from invisible to opaque: the fit needs both sides of the border.
_RANGES = {
    "cloud": (0.1, 0.9),
    "thin_cloud": (0.004, 0.11),
    "contrail": (0.01, 0.4),
    "occultation": (0.05, 0.6),
    "dust": (0.02, 0.4),
}


def calibration_frames(
    count: int, seed: int, real: Sequence[np.ndarray] = (), clean_share: float = 0.6
) -> Iterator[TrueFrame]:
    """Good frames and frames with transmission defects.

    Of the spoilt frames two in five are real where real ones are given. Of the good frames, whose
    distribution is the p-value, one in 50: so few real ones know little of how cameras differ.
    """
    random = np.random.default_rng((seed, 31))
    for _ in range(count):
        clean = random.random() < clean_share
        if len(real) and random.random() < (0.02 if clean else 0.4):
            pixels = _turned(real[int(random.integers(len(real)))], random)
            fit = fit_limb(pixels)
            if fit is None:
                continue
            pointing = fit.to_pointing()
        else:
            frame = simulated_frame(random)
            pixels, pointing = film(frame.pixels, random), frame.pointing
        if clean:
            yield TrueFrame(pixels, None, None, 0.0, 0.0)
            continue
        cause = HEAD_CAUSES[int(random.choice(5, p=(0.2, 0.5, 0.12, 0.08, 0.1)))]
        low, high = _RANGES[cause]
        severity = float(np.exp(random.uniform(np.log(low), np.log(high))))
        yield spoil(pixels, pointing, Cause(cause), random, severity)


def _turned(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A real frame at another size, turned and mirrored."""
    plane = single_plane(pixels)
    side = int(random.choice([390, 512, 800, 1024]))
    if side < plane.shape[0]:
        plane = cv2.resize(plane, (side, side), interpolation=cv2.INTER_AREA)
    plane = np.rot90(plane, int(random.integers(4)))
    return np.ascontiguousarray(plane[:, ::-1] if random.random() < 0.5 else plane)


@dataclass(frozen=True)
class Calibration:
    """Fitted score and the badness of good frames, sorted."""

    mapping: ScoreMapping
    badness: FloatArray
    cause_offsets: tuple[float, ...]


def too_few(count: int) -> UnusableInputError:
    """The error for a number of calibration frames from which nothing can be fitted."""
    return UnusableInputError(
        f"{count} calibration frames are too few: ask for at least {LEAST_FRAMES} (--calibrate)"
    )


def calibrate(model: HalphaQuality, frames: Sequence[TrueFrame], kind: str = "physical") -> Calibration:
    """Fit the scale of the severity, the causes' offsets and the conformal scores.

    Spoilt frames fit the scale and the offsets, a third of the good ones the content loss; the
    other good frames, which fitted nothing, give the p-value, as split conformal prediction requires.

    Raises
    ------
    UnusableInputError
        When there are too few frames of a kind.
    """
    readings = [model.read(as_frame(frame.pixels)) for frame in frames]
    usable = [k for k, reading in enumerate(readings) if reading.judged]
    bad = [k for k in usable if frames[k].is_degraded]
    good = [k for k in usable if k % 3 == 0 and frames[k].cause is None]
    kept = [k for k in usable if k % 3 != 0 and frames[k].cause is None]
    if not (bad and good and kept):
        raise too_few(len(frames))
    content = np.array([readings[k].measures["content_loss"] for k in good])
    offset = _severity_offset(readings, frames, usable)
    mapping = ScoreMapping(
        kind=kind,
        severity_offset=round(offset, 4),
        content_mean=round(float(content.mean()), 5),
        content_deviation=round(float(content.std()), 5),
    )
    seen = [k for k in usable if frames[k].is_visible]
    logits = np.array([readings[k].cause_logits for k in seen])
    truth = np.array([[frames[k].cause == name for name in HEAD_CAUSES] for k in seen])
    offsets = np.array([_best_offset(logits[:, c], truth[:, c]) for c in range(len(HEAD_CAUSES))])
    badness = [mapping.badness(readings[k].measures, readings[k].cause_logits + offsets) for k in kept]
    return Calibration(mapping, np.sort(np.array(badness)), tuple(float(o) for o in offsets))


def _severity_offset(
    readings: Sequence[Reading], frames: Sequence[TrueFrame], indices: Sequence[int]
) -> float:
    """Logarithm of true over estimated band rms of clouds near the border."""
    near = [
        k
        for k in indices
        if frames[k].cause in (Cause.CLOUD, Cause.THIN_CLOUD)
        and 0.5 * BORDER_BAND < frames[k].band < 3 * BORDER_BAND
    ]
    if len(near) < 10:
        return 0.0
    estimate = np.log([max(readings[k].measures["transmission_band_rms"], 1e-5) for k in near])
    # The median: a few clouds are hidden by the Sun's own structure and say nothing of the scale.
    return float(np.median(np.log([frames[k].band for k in near]) - estimate))


def _best_offset(logits: FloatArray, truth: NDArray[np.bool_]) -> float:
    """Shift of a cause's logit that gives the largest F1 at even odds."""
    if not truth.any() or truth.all():
        return 0.0
    candidates = np.linspace(-3, 3, 61)
    said = logits[:, None] + candidates[None, :] > 0
    hits = (said & truth[:, None]).sum(0)
    f1 = 2 * hits / np.maximum(said.sum(0) + truth.sum(), 1)
    # Of equally good shifts the one nearest to none.
    best = np.flatnonzero(f1 >= f1.max() - 1e-9)
    return float(candidates[best[np.argmin(np.abs(candidates[best]))]])
