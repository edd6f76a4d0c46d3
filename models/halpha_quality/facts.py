"""What a frame's pixels say at their own resolution, before any network (numpy and OpenCV).

Blur of the limb, saturation, holes, spikes and a disk out of the picture cannot be seen in 128
cells. Each is one number here, compared with a threshold that was set on simulated frames and on
clean BBSO and GONG frames (see card.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from observatory.analysis import Cause
from observatory.robust import median, quantile
from observatory.sun import LimbFit

BoolArray = NDArray[np.bool_]

_SAMPLES_ACROSS = 256
_LEAST_SPIKE = 3.0  # counts above all neighbours: steps of compressed pictures are smaller


@dataclass(frozen=True)
class Thresholds:
    """Where a fact becomes a cause; all are part of the model's parameters.

    Attributes
    ----------
    limb_width_radii, limb_width_px : float
        10-90 % limb width beyond both of which a frame is blurred. Clean: 0.010 (BBSO), 0.016
        (GONG) of the radius; 4.3 px where the pixel itself is the limit (390-px pictures).
    anisotropy : float
        Twofold variation of a blurred limb's width beyond which the telescope moved.
    distortion : float
        Limb scatter over ray-to-ray scatter beyond which a blur is seeing rather than defocus:
        turbulence bends the limb smoothly (3.4 and more), grain and noise do not (1.0 to 1.2).
    saturated, missing, spikes : float
        Shares of the disk (spikes: of the sampled rows).
    spike_floor_share : float
        Of the largest value: what a spike in a frame of floats, which need not be counts, stands above its
        neighbours at least, where that is less than the counts of other frames; 0: always those.
    cut_off : float
        Share of the disk's diameter outside the picture.
    exposure_share : float
        Disk level as a share of full scale below which a frame is underexposed.
    noise_share : float
        Pixel noise over disk level above which the signal is too low to use.
    """

    limb_width_radii: float = 0.0185
    limb_width_px: float = 5.2
    anisotropy: float = 0.18
    distortion: float = 1.8
    saturated: float = 0.02
    missing: float = 0.01
    spikes: float = 8e-5
    spike_floor_share: float = 0.0118
    cut_off: float = 0.03
    exposure_share: float = 0.06
    noise_share: float = 0.075


@dataclass(frozen=True)
class Facts:
    """Numbers of one frame; shares are 0 to 1."""

    saturated_fraction: float
    missing_fraction: float
    spike_fraction: float
    exposure_fraction: float
    noise_fraction: float
    disk_level: float
    top_level: float
    full_scale: float

    def to_measures(self) -> dict[str, float]:
        """For `Quality.measures`."""
        return {name: float(value) for name, value in vars(self).items()}


def full_scale(dtype: np.dtype, top: float) -> float:
    """The largest count that the camera can write, guessed from type and largest value."""
    if dtype == np.uint8:
        return 255.0
    steps: tuple[float, ...] = (1.0, 255.0, 1023.0, 4095.0, 16383.0, 32767.0, 65535.0)
    if dtype.kind in "iu" and top > 255:
        steps = steps[3:]  # 10-bit cameras are rare, dark 12-bit frames are not
    return next((value for value in steps if top <= value), max(top, 1.0))


def gather(plane: np.ndarray, fit: LimbFit | None, limits: Thresholds) -> Facts:
    """Measure a frame on a thinned grid and on some of its rows."""
    step = max(1, min(plane.shape) // _SAMPLES_ACROSS)
    sample = plane[::step, ::step].astype(np.float32)
    finite = np.isfinite(sample)
    top = float(sample[finite].max()) if finite.any() else 0.0
    inside = _inside(sample.shape, step, fit)
    on_disk = sample[inside]
    known = on_disk[np.isfinite(on_disk)]
    # The upper quartile: half of the disk may be behind a dome or in holes.
    level = quantile(known[:: max(1, len(known) // 8192)], 0.75) if known.size else 0.0
    scale = full_scale(plane.dtype, top)
    if not known.size:
        return Facts(0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, scale)
    # A hole is exactly zero amid light; in a dark frame zeros are nothing special.
    is_scaled = plane.dtype.kind == "f" and limits.spike_floor_share > 0
    least = min(_LEAST_SPIKE, limits.spike_floor_share * top) if is_scaled else _LEAST_SPIKE
    noise, spiked = _rows(plane, fit, level, least)
    bright = level > max(8.0 * noise, min(0.1 * scale, 40.0))
    if fit is None:  # no disk to speak of: only what is bright somewhere can have holes
        bright = top > 0.25 * scale and (plane.dtype == np.uint8 or top > 255)
    empty = (on_disk == 0) if bright else np.zeros(on_disk.shape, bool)
    missing = float(np.mean(empty | ~np.isfinite(on_disk)))
    saturated = _saturated_share(known, top, scale)
    share = level / scale
    return Facts(saturated, missing, spiked, share, noise / max(level, 1e-6), level, top, scale)


def holes(plane: np.ndarray) -> BoolArray:
    """Pixels that hold nothing: NaN, infinite or exactly zero."""
    return ~np.isfinite(plane) | (plane == 0) if plane.dtype.kind == "f" else plane == 0


def _inside(shape: tuple[int, ...], step: int, fit: LimbFit | None) -> BoolArray:
    if fit is None:
        return np.ones(shape, bool)
    y = (np.arange(shape[0], dtype=np.float32) * step - fit.center_y_px)[:, None]
    x = (np.arange(shape[1], dtype=np.float32) * step - fit.center_x_px)[None, :]
    return y * y + x * x < np.float32(0.95 * fit.radius_px) ** 2


def _saturated_share(known: np.ndarray, top: float, scale: float) -> float:
    """Share piled up at the largest value: a natural maximum is reached by a few pixels only."""
    if top <= 0:
        return 0.0
    at_top = float(np.mean(known >= top))
    near_full = float(np.mean(known >= 0.996 * scale))
    return max(at_top if at_top > 0.004 else 0.0, near_full)


def _rows(plane: np.ndarray, fit: LimbFit | None, level: float, least: float) -> tuple[float, float]:
    """Pixel noise and share of isolated bright pixels, from about a hundred rows of the disk."""
    height, width = plane.shape
    if fit is None:
        return 0.0, 0.0
    reach = 0.7 * fit.radius_px  # the square inscribed in the disk
    x0, x1 = max(0, int(fit.center_x_px - reach)), min(width, int(fit.center_x_px + reach))
    y0, y1 = max(0, int(fit.center_y_px - reach)), min(height, int(fit.center_y_px + reach))
    if x1 - x0 < 16 or y1 - y0 < 8:
        return 0.0, 0.0
    chosen = np.arange(y0 + 1, y1 - 1, max(3, (y1 - y0) // 96))
    rows, up, down = (plane[chosen + shift, x0:x1] for shift in (0, -1, 1))
    if plane.dtype.kind == "f":
        rows, up, down = (np.nan_to_num(r, posinf=0.0, neginf=0.0) for r in (rows, up, down))
    left, middle, right = rows[:, :-2], rows[:, 1:-1], rows[:, 2:]
    beside = np.maximum(up, down)
    around = np.maximum(np.maximum(left, right), beside[:, 1:-1])
    around = np.maximum(around, np.maximum(beside[:, :-2], beside[:, 2:]))
    above = middle.astype(np.float32) - around
    thinned = rows[::3].astype(np.float32)
    curvature = np.abs(thinned[:, 1:-1] - 0.5 * (thinned[:, :-2] + thinned[:, 2:])).ravel()
    noise = 1.4826 * median(curvature) / 1.2247  # the deviation of x - (l + r)/2 is sqrt(1.5)
    # Flares and plage edges in compressed pictures reach a tenth of the level from pixel to pixel.
    spiked = float(np.mean(above > max(8.0 * noise, 0.18 * level, least)))
    return noise, spiked


def causes_of(
    facts: Facts, fit: LimbFit | None, shape: tuple[int, int], limits: Thresholds
) -> Mapping[Cause, float]:
    """Causes that the facts show, with how far beyond its threshold each is (1 is at it)."""
    found: dict[Cause, float] = {}

    def judge(cause: Cause, ratio: float) -> None:
        if ratio >= 1.0:
            found[cause] = float(min(ratio, 1e3))

    judge(Cause.MISSING_DATA, facts.missing_fraction / limits.missing)
    judge(Cause.OVEREXPOSED, facts.saturated_fraction / limits.saturated)
    if fit is None:
        return found
    judge(Cause.SPIKES, facts.spike_fraction / limits.spikes)
    judge(Cause.OFF_CENTRE, fit.cut_off_fraction(*shape) / limits.cut_off)
    if facts.saturated_fraction < limits.saturated:
        dark = limits.exposure_share / max(facts.exposure_fraction, 1e-6)
        judge(Cause.UNDEREXPOSED, max(dark, facts.noise_fraction / limits.noise_share))
    blur = fit.width_px / max(limits.limb_width_radii * fit.radius_px, limits.limb_width_px)
    if blur >= 1.0 and Cause.UNDEREXPOSED not in found:
        found[_kind_of_blur(fit, limits)] = float(blur)
    return found


def _kind_of_blur(fit: LimbFit, limits: Thresholds) -> Cause:
    if fit.width_anisotropy > limits.anisotropy:
        return Cause.TRACKING
    return Cause.SEEING if fit.rms_px > limits.distortion * fit.jitter_px else Cause.DEFOCUS
