"""What the pixels of a photospheric frame say: light, holes, shadows, focus, noise, spikes, place.

Everything is measured on a coarse copy of the frame, in small windows and along some rows, so that a
frame of 4096 squared costs some ten milliseconds. Shares are of the Sun in view, 0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.hmi_quality.coarse import Coarse, coarse_of
from models.hmi_quality.plane import Extent, Plane, Scene, gauss_per_unit
from models.hmi_quality.shadow import Hidden, hidden_in
from models.hmi_quality.windows import Windows, windows_of
from observatory.sun import compare_pointing

FloatArray = NDArray[np.floating]

_SPIKE_SAMPLE = 220_000  # pixels that are searched for spikes
_PICTURE_FULL = 254.0
#: Plate scales at which granules are resolved as HMI resolves them; other scales are judged by the limb.
GRANULATION_ARCSEC = (0.35, 0.75)
_QUIET_SHARE = 25.0  # percentile of the windows' contrast: below it lie no spots
_LIT = 0.3  # of disk centre: a window that is darker shows a spot or nothing
_FOCUS_RADIUS = 0.65  # nearer to the limb granules are foreshortened
_LEAST_SATURATED = 8  # pixels of one value: every frame has a brightest one


@dataclass(frozen=True)
class Measures:
    """Numbers of one frame; None where they cannot be told.

    Attributes
    ----------
    level : float
        Brightness of the unhidden Sun at disk centre, in the frame's unit; 0 for a field.
    range : float
        From the 1st to the 99th percentile of what is on the Sun, in the frame's unit.
    unmeasured : float
        Share without data.
    missing : float
        The same, with what is of one value or in dark blocks.
    shadow : float
        Share hidden by something that reaches over the limb.
    saturated : float
        Share at the largest value.
    negative : float
        Share below zero; 0 for a field.
    spikes : float
        Share of single pixels far from all eight neighbours.
    grain : float or None
        Noise of a continuum over its brightness.
    contrast : float or None
        Rms contrast of granulation in the quietest quarter of the windows.
    lag1, lag2 : float or None
        Correlation of neighbouring pixels in the same windows, and of the next but one.
    limb_width_px : float or None
        10 to 90 % width of the limb.
    noise_gauss : float or None
        Noise of the field.
    noise_share : float or None
        Noise of a field over its standard deviation: 1 when there is nothing else.
    strongest : float or None
        The field's largest size in quiet and active windows over its noise.
    strongest_gauss : float or None
    offset : float or None
        Distance of the limb's centre from where the disk is said to be, in radii.
    off_middle : float or None
        Distance of the disk's centre from the frame's middle, in radii.
    cut_off : float
        Share of the disk's diameter outside the frame.
    roll_deg : float or None
        How far solar north is turned from up or down, whichever is nearer.
    sees_limb : float or None
        1 when a limb is found, 0 when not, None when none is looked for.
    """

    level: float
    range: float
    unmeasured: float
    missing: float
    shadow: float
    saturated: float
    negative: float
    spikes: float
    grain: float | None
    contrast: float | None
    lag1: float | None
    lag2: float | None
    limb_width_px: float | None
    noise_gauss: float | None
    noise_share: float | None
    strongest: float | None
    strongest_gauss: float | None
    offset: float | None
    off_middle: float | None
    cut_off: float
    roll_deg: float | None
    sees_limb: float | None

    @property
    def is_judged(self) -> bool:
        """Whether its texture or its limb could be looked at; slivers and thumbnails show neither."""
        return self.grain is not None or self.noise_share is not None or self.sees_limb == 1.0

    def to_measures(self) -> dict[str, float]:
        """For `Quality.measures`: what could be told."""
        return {name: float(value) for name, value in vars(self).items() if value is not None}


def gather(plane: Plane, scene: Scene) -> tuple[Measures, Hidden, Coarse]:
    """Measure a frame."""
    coarse = coarse_of(plane, scene.seen)
    windows = windows_of(plane, scene)
    hidden = hidden_in(plane, coarse, windows)
    on_sun = max(int(coarse.on_sun.sum()), 1)
    seen = coarse.values[coarse.on_sun & coarse.valid]
    low, high = np.percentile(seen, (1, 99)) if seen.size else (0.0, 0.0)
    texture = _granulation(plane, scene, windows, hidden.level)
    noise, share, strongest, top = _field(plane, windows)
    offset = off_middle = None
    if scene.extent is Extent.DISK and scene.disk is not None:
        disk = scene.disk
        if scene.limb is not None:
            offset = compare_pointing(scene.limb, disk).offset_fraction
        middle = ((plane.frame.width - 1) / 2, (plane.frame.height - 1) / 2)
        off_middle = float(
            np.hypot(disk.center_x_px - middle[0], disk.center_y_px - middle[1]) / disk.radius_px
        )
    measures = Measures(
        level=hidden.level,
        range=float(high - low),
        unmeasured=coarse.missing,
        missing=max(coarse.missing, float(hidden.missing.sum() / on_sun)),
        shadow=float(hidden.shadow.sum() / on_sun),
        saturated=_saturated(plane, coarse),
        negative=0.0 if plane.is_field else _negative(plane, coarse),
        spikes=_spikes(plane, scene, hidden.level, windows),
        grain=texture.grain,
        contrast=texture.contrast,
        lag1=texture.lag1,
        lag2=texture.lag2,
        limb_width_px=None if plane.is_field or scene.limb is None else scene.limb.width_px,
        noise_gauss=noise,
        noise_share=share,
        strongest=strongest,
        strongest_gauss=top,
        offset=offset,
        off_middle=off_middle,
        cut_off=_cut_off(plane, scene),
        roll_deg=_roll(scene),
        sees_limb=_sees_limb(plane, scene),
    )
    return measures, hidden, coarse


# -- light -------------------------------------------------------------------------------------


def _saturated(plane: Plane, coarse: Coarse) -> float:
    """Share of the Sun at the largest value, on a thinned grid: of pictures at white, else at one value."""
    step = max(1, coarse.factor // 2)
    sample = plane.pixels[::step, ::step]
    row = np.minimum(np.arange(sample.shape[0]) * step // coarse.factor, coarse.on_sun.shape[0] - 1)
    column = np.minimum(np.arange(sample.shape[1]) * step // coarse.factor, coarse.on_sun.shape[1] - 1)
    values = sample[coarse.on_sun[row[:, None], column[None, :]]]
    if not values.size:
        return 0.0
    if plane.is_picture:
        # White of a field's picture is its stretch, not the detector.
        return 0.0 if plane.is_field else float(np.mean(values >= _PICTURE_FULL))
    if plane.is_field:
        values = np.abs(values)
    values = values[np.isfinite(values)]
    top = values.max(initial=0.0)
    if not values.size or top <= 0 or np.median(values) == top:
        return 0.0
    count = int(np.count_nonzero(values >= top * np.float32(0.999999)))
    return count / values.size if count >= _LEAST_SATURATED else 0.0


def _negative(plane: Plane, coarse: Coarse) -> float:
    if plane.pixels.dtype.kind == "u":
        return 0.0
    known = coarse.on_sun & coarse.valid
    return float(np.mean(coarse.values[known] < 0)) if known.any() else 0.0


# -- texture -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Texture:
    """Noise over brightness, and what granulation looks like; None where that cannot be told."""

    grain: float | None = None
    contrast: float | None = None
    lag1: float | None = None
    lag2: float | None = None


def _granulation(plane: Plane, scene: Scene, windows: Windows | None, level: float) -> Texture:
    """Look at granulation in the quietest windows, where the scale resolves it."""
    nothing = Texture()
    if plane.is_field or windows is None or level <= 0:
        return nothing
    scale = scene.cdelt_arcsec
    lit = windows.is_whole & (windows.level > _LIT * level)
    if not lit.any():
        return nothing
    grain = float(np.median(windows.noise[lit] / windows.level[lit]))
    is_resolved = scale is not None and GRANULATION_ARCSEC[0] <= scale <= GRANULATION_ARCSEC[1]
    # A patch of numbers without a header is taken to be HMI's own; of a picture nothing tells the scale.
    chosen = lit & (windows.radius < _FOCUS_RADIUS)
    if not chosen.any() or not (is_resolved or (scale is None and not plane.is_picture)):
        return replace(nothing, grain=grain)
    contrast = windows.spread[chosen] / windows.level[chosen]
    quiet = contrast <= np.percentile(contrast, 2 * _QUIET_SHARE)
    return Texture(
        grain,
        float(np.percentile(contrast, _QUIET_SHARE)),
        float(np.median(windows.lag1[chosen][quiet])),
        float(np.median(windows.lag2[chosen][quiet])),
    )


def _field(
    plane: Plane, windows: Windows | None
) -> tuple[float | None, float | None, float | None, float | None]:
    """Noise in gauss, noise over all variation, and the strongest signal over noise and in gauss."""
    if not plane.is_field or windows is None or not windows.is_whole.any():
        return None, None, None, None
    whole = windows.is_whole
    noise = float(np.median(windows.noise[whole]))
    variance = np.square(windows.spread[whole]) + np.square(
        windows.level[whole] - np.median(windows.level[whole])
    )
    everything = float(np.sqrt(np.mean(variance)))
    if everything <= 0:
        return None, None, None, None
    gauss = None if plane.is_picture else gauss_per_unit(plane.frame)
    strongest = float(windows.spread[whole].max())
    return (
        None if gauss is None else noise * gauss,
        noise / everything,
        strongest / max(noise, 1e-9),
        None if gauss is None else _strongest(plane) * gauss,
    )


def _strongest(plane: Plane) -> float:
    """Largest size on a thinned grid."""
    step = max(1, min(plane.pixels.shape) // 512)
    sample = np.abs(plane.pixels[::step, ::step].astype(np.float32))
    return float(np.max(sample, initial=0.0, where=np.isfinite(sample)))


def _spikes(plane: Plane, scene: Scene, level: float, windows: Windows | None) -> float:
    """Share of pixels far from all eight neighbours, in some rows of the disk's inscribed square."""
    height, width = plane.pixels.shape
    x0, x1, y0, y1 = 1, width - 1, 1, height - 1
    disk = scene.seen
    if disk is not None:
        reach = 0.7 * disk.radius_px
        x0, x1 = max(x0, int(disk.center_x_px - reach)), min(x1, int(disk.center_x_px + reach))
        y0, y1 = max(y0, int(disk.center_y_px - reach)), min(y1, int(disk.center_y_px + reach))
    scale = scene.cdelt_arcsec
    if x1 - x0 < 16 or y1 - y0 < 8:
        return 0.0
    if plane.is_field and scale is not None and scale > GRANULATION_ARCSEC[1]:
        return 0.0  # elements of the network are as small as such a pixel
    chosen = np.arange(y0, y1, max(1, (y1 - y0) * (x1 - x0) // _SPIKE_SAMPLE))
    rows, up, down = (plane.pixels[chosen + shift, x0:x1].astype(np.float32) for shift in (0, -1, 1))
    highest, lowest = _extremes(np.maximum(up, down), np.minimum(up, down), rows)
    middle = rows[:, 1:-1]
    # A telescope's blur spreads light over more than one pixel; a particle's hit is not spread.
    if plane.is_field:
        noise = 1.0 if windows is None else max(float(np.median(windows.noise)), 1e-6)
        apart = np.maximum(middle - highest, lowest - middle)
        beside = np.maximum(np.abs(highest), np.abs(lowest))
        floor = 40.0 if plane.is_picture else 12.0 * noise
        is_spike = (apart > floor) & (apart > 0.7 * beside)
    else:
        step = 0.16 * level + (6.0 if plane.is_picture else 0.0)
        is_spike = (middle - highest > step) | (lowest - middle > 1.6 * step)
    # One or two of a small patch are no storm.
    return max(0, int(is_spike.sum()) - 2) / is_spike.size


def _extremes(
    beside_max: FloatArray, beside_min: FloatArray, rows: FloatArray
) -> tuple[FloatArray, FloatArray]:
    highest = np.maximum(np.maximum(rows[:, :-2], rows[:, 2:]), beside_max[:, 1:-1])
    highest = np.maximum(highest, np.maximum(beside_max[:, :-2], beside_max[:, 2:]))
    lowest = np.minimum(np.minimum(rows[:, :-2], rows[:, 2:]), beside_min[:, 1:-1])
    lowest = np.minimum(lowest, np.minimum(beside_min[:, :-2], beside_min[:, 2:]))
    return highest, lowest


# -- place -------------------------------------------------------------------------------------


def _cut_off(plane: Plane, scene: Scene) -> float:
    if scene.disk is None or scene.extent is not Extent.DISK:
        return 0.0
    disk, (height, width) = scene.seen or scene.disk, plane.pixels.shape
    beyond = max(
        disk.radius_px - disk.center_x_px - 0.5,
        disk.radius_px - disk.center_y_px - 0.5,
        disk.center_x_px + disk.radius_px - width + 0.5,
        disk.center_y_px + disk.radius_px - height + 0.5,
    )
    return float(np.clip(beyond / (2.0 * disk.radius_px), 0.0, 1.0))


def _roll(scene: Scene) -> float | None:
    """HMI is mounted with north down (CROTA2 near 180); archives turn its pictures north up."""
    if scene.disk is None or scene.disk.roll_deg is None or scene.disk.source != "header":
        return None
    turned = abs((scene.disk.roll_deg + 90.0) % 180.0 - 90.0)
    return float(turned)


def _sees_limb(plane: Plane, scene: Scene) -> float | None:
    if scene.extent is not Extent.DISK or scene.disk is None or scene.disk.radius_px < 12.0:
        return None
    if scene.limb is None:
        return None if plane.is_field else 0.0  # the limb of a field is no edge of light
    return 1.0
