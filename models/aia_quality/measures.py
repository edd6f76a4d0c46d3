"""What a coronal frame's pixels say: light, holes, shadows, spikes, saturation, place (numpy, OpenCV).

Everything is measured on a coarse copy of the frame and on some of its rows and columns, so that a
frame of 4096 squared costs a few milliseconds. Shares are of the disk, 0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.aia_quality.coarse import Coarse, coarse_frame
from models.aia_quality.holes import Holes, find_holes
from observatory.euv.limb import LimbBend, find_bend, ring_center
from observatory.euv.plane import Plane
from observatory.frame import Pointing

FloatArray = NDArray[np.floating]
BoolArray = NDArray[np.bool_]

_SPIKE_SAMPLE = 220_000  # pixels that are searched for spikes
_DARKNESS = 0.2  # counts, or of 255: a disk no brighter is black
_SHOWN = 1.1  # of the radius: beyond it the sky is dark anyway
_EDGE = 0.97  # of the radius: where the disk ends for shares of it
_PICTURE_FULL = 254.0
_CCD_FULL = 15900.0  # 14 bits; the flat field moves single pixels by 2 % (Lemen et al. 2012, section 3)


@dataclass(frozen=True)
class Measures:
    """Numbers of one frame; see `gather`.

    Attributes
    ----------
    level : float
        Median of the lit part of the disk, counts or 0 to 255.
    top : float
        99.9th percentile of the coarse frame.
    missing : float
        Share of the disk that holds no measurement: NaN, or constant tiles cut along rows and columns.
    shadow : float
        Share of the disk in a solid dark area that reaches across the limb.
    dark_limb : float
        Share of the limb that cannot be seen.
    saturated : float
        Share of the disk at the largest value.
    bleeding : float
        Longest saturated run along a column over that along a row; 0 when neither is long.
    spikes : float
        Share of isolated bright pixels.
    cut_off : float
        Share of the disk's diameter outside the frame.
    offset : float
        Distance of the limb's centre from where the disk is said to be, in radii; 0 when no limb is certain.
    limb_certainty : float
    is_cut_out : bool
        Whether the frame is smaller than the disk: a cut-out made on purpose.
    in_frame : float
        Share of the disk inside the frame.
    """

    level: float
    top: float
    missing: float
    shadow: float
    dark_limb: float
    saturated: float
    bleeding: float
    spikes: float
    cut_off: float
    offset: float
    limb_certainty: float
    is_cut_out: bool
    in_frame: float

    def to_measures(self) -> dict[str, float]:
        """For `Quality.measures`."""
        return {name: float(value) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Spoilt:
    """Which cells of the coarse frame are spoilt, and by what."""

    missing: BoolArray
    shadow: BoolArray
    saturated: BoolArray

    @property
    def any(self) -> BoolArray:
        """Cells spoilt by anything."""
        return self.missing | self.shadow | self.saturated


def gather(plane: Plane, disk: Pointing, height_radii: float) -> tuple[Measures, Spoilt, Coarse]:
    """Measure a frame whose disk lies at `disk`."""
    coarse = coarse_frame(plane, disk)
    inside = coarse.radius < _EDGE
    known = coarse.values[inside & coarse.valid]
    if not known.size:
        nothing = Spoilt(inside & ~coarse.valid, np.zeros_like(inside), np.zeros_like(inside))
        return _nothing_known(plane, disk), nothing, coarse
    level = _lit_level(known)
    full = _PICTURE_FULL if plane.is_picture else _CCD_FULL
    if level > _DARKNESS:
        holes = find_holes(plane, disk, coarse, inside, level, full)
    else:  # of a black frame nothing can be said but that
        holes = Holes(inside & ~coarse.valid, np.zeros_like(inside))
    missing = holes.missing
    shadow, dark_limb = _shadow(coarse, missing, level, is_picture=plane.is_picture)
    shadow |= holes.hidden
    saturated_share, saturated = _saturated(plane, disk, coarse, full)
    bend = _limb(disk, coarse, height_radii)
    offset = 0.0
    if bend is not None and bend.is_certain:
        offset = float(np.hypot(bend.center_x_px - disk.center_x_px, bend.center_y_px - disk.center_y_px))
        offset /= disk.radius_px
    whole = max(int(inside.sum()), 1)
    measures = Measures(
        level=level,
        top=float(np.percentile(coarse.values[coarse.valid], 99.9)),
        missing=float((missing & inside).sum() / whole),
        shadow=float((shadow & inside).sum() / whole),
        dark_limb=dark_limb,
        saturated=saturated_share,
        bleeding=_bleeding(plane, disk, full) if saturated_share > 5e-4 else 0.0,
        spikes=_spikes(plane, disk, level),
        cut_off=_cut_off(plane, disk),
        offset=offset,
        limb_certainty=0.0 if bend is None else bend.certainty,
        is_cut_out=_is_cut_out(plane, disk),
        in_frame=_share_in_frame(plane, disk),
    )
    return measures, Spoilt(missing & inside, shadow & (coarse.radius < _SHOWN), saturated), coarse


def _lit_level(known: FloatArray) -> float:
    """Median of the disk without what is dark: half of it may be in shadow or missing."""
    lit = known[known > 0.1 * np.percentile(known, 90)]
    return float(np.median(lit)) if lit.size else 0.0


def _nothing_known(plane: Plane, disk: Pointing) -> Measures:
    zeros = dict.fromkeys(
        ("level", "top", "shadow", "dark_limb", "saturated", "bleeding", "spikes", "offset"), 0.0
    )
    return Measures(
        **zeros,
        missing=1.0,
        cut_off=_cut_off(plane, disk),
        limb_certainty=0.0,
        is_cut_out=_is_cut_out(plane, disk),
        in_frame=_share_in_frame(plane, disk),
    )


# -- shadow ------------------------------------------------------------------------------------


def _shadow(coarse: Coarse, missing: BoolArray, level: float, *, is_picture: bool) -> tuple[BoolArray, float]:
    """Dark area that swallows part of the limb, and the share of the limb that it hides."""
    dark = (coarse.values < (0.1 if is_picture else 0.05) * level) & coarse.valid & ~missing
    dark = cv2.morphologyEx(dark.view(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    ring = (coarse.radius > 0.95) & (coarse.radius < 1.05)
    hidden = float(dark[ring].mean()) if ring.any() else 0.0
    nothing = np.zeros(dark.shape, bool)
    if hidden == 0.0:
        return nothing, 0.0
    count, labels = cv2.connectedComponents(dark)
    shadow = nothing
    for label in range(1, count):
        part = labels == label
        # A coronal hole ends at the limb's own glow; a shadow goes on over the limb and the sky.
        if (
            (part & ring).any()
            and (part & (coarse.radius < 0.9)).any()
            and (part & (coarse.radius > 1.05)).any()
        ):
            shadow = shadow | part
    return shadow, hidden


# -- saturation and spikes ---------------------------------------------------------------------


def _saturated(plane: Plane, disk: Pointing, coarse: Coarse, full: float) -> tuple[float, BoolArray]:
    """Share of the disk at the largest value, from a thinned grid, and the cells that are."""
    step = max(1, coarse.factor // 2)
    sample = plane.pixels[step // 2 :: step, step // 2 :: step]
    x = (np.arange(sample.shape[1], dtype=np.float32) * step + step // 2 - disk.center_x_px) / disk.radius_px
    y = (np.arange(sample.shape[0], dtype=np.float32) * step + step // 2 - disk.center_y_px) / disk.radius_px
    at_top = (sample >= full) & np.isfinite(sample)
    if not at_top.any():
        return 0.0, np.zeros(coarse.values.shape, bool)
    near = np.square(y)[:, None] + np.square(x)[None, :] < 1.1**2
    share = float((at_top & near).sum() / max(int(near.sum()), 1))
    size = (coarse.values.shape[1], coarse.values.shape[0])
    cells = (
        cv2.resize((at_top & near).view(np.uint8) * np.uint8(255), size, interpolation=cv2.INTER_AREA) > 127
    )
    return share, np.asarray(cells, bool)


def _bleeding(plane: Plane, disk: Pointing, full: float) -> float:
    """Longest saturated run along a column over that along a row: charge bleeds along columns."""
    height, width = plane.pixels.shape
    step = max(1, min(height, width) // 512)
    at_top = plane.pixels[::step, ::step] >= full
    down, across = _longest_run(at_top.T), _longest_run(at_top)
    return down / max(across, 1) if down * step > 0.03 * disk.radius_px else 0.0


def _longest_run(lines: BoolArray) -> int:
    edges = np.diff(np.pad(lines, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    start, end = np.nonzero(edges == 1)[1], np.nonzero(edges == -1)[1]
    return int((end - start).max(initial=0))


def _spikes(plane: Plane, disk: Pointing, level: float) -> float:
    """Share of pixels far above all eight neighbours, in some rows of the disk's inscribed square."""
    height, width = plane.pixels.shape
    reach = 0.7 * disk.radius_px
    x0, x1 = max(1, int(disk.center_x_px - reach)), min(width - 1, int(disk.center_x_px + reach))
    y0, y1 = max(1, int(disk.center_y_px - reach)), min(height - 1, int(disk.center_y_px + reach))
    if x1 - x0 < 16 or y1 - y0 < 8:
        return 0.0
    chosen = np.arange(y0, y1, max(1, (y1 - y0) * (x1 - x0) // _SPIKE_SAMPLE))
    rows, up, down = (
        np.nan_to_num(plane.pixels[chosen + shift, x0:x1].astype(np.float32), posinf=0.0, neginf=0.0)
        for shift in (0, -1, 1)
    )
    beside = np.maximum(up, down)
    around = np.maximum(np.maximum(rows[:, :-2], rows[:, 2:]), beside[:, 1:-1])
    around = np.maximum(around, np.maximum(beside[:, :-2], beside[:, 2:]))
    # A telescope's blur spreads all light over more than one pixel, a particle's hit is not spread.
    # Pictures are compressed at the top, so there a smaller step is as rare.
    if plane.is_picture:
        return float(np.mean(rows[:, 1:-1] - around > 0.3 * level + 8.0))
    return float(np.mean(rows[:, 1:-1] > 1.6 * np.maximum(around, 0) + 0.4 * level + 3.0))


# -- place -------------------------------------------------------------------------------------


def _limb(disk: Pointing, coarse: Coarse, height_radii: float) -> LimbBend | None:
    """The limb where it is said to be, else about the middle of the light."""

    def bend_about(x: float, y: float) -> LimbBend | None:
        factor = coarse.half_factor
        found = find_bend(
            coarse.half,
            (x + 0.5) / factor - 0.5,
            (y + 0.5) / factor - 0.5,
            disk.radius_px / factor,
            height_radii,
        )
        if found is None:
            return None
        return LimbBend(
            (found.center_x_px + 0.5) * factor - 0.5,
            (found.center_y_px + 0.5) * factor - 0.5,
            found.radius_px * factor,
            found.certainty,
        )

    bend = bend_about(disk.center_x_px, disk.center_y_px)
    if bend is not None and bend.is_certain:
        return bend
    factor = coarse.half_factor
    x, y = ring_center(coarse.half, disk.radius_px / factor * height_radii)
    moved = bend_about((x + 0.5) * factor - 0.5, (y + 0.5) * factor - 0.5)
    return moved if moved is not None and moved.is_certain else bend


def _cut_off(plane: Plane, disk: Pointing) -> float:
    height, width = plane.pixels.shape
    beyond = max(
        disk.radius_px - disk.center_x_px - 0.5,
        disk.radius_px - disk.center_y_px - 0.5,
        disk.center_x_px + disk.radius_px - width + 0.5,
        disk.center_y_px + disk.radius_px - height + 0.5,
    )
    return float(np.clip(beyond / (2.0 * disk.radius_px), 0.0, 1.0))


def _is_cut_out(plane: Plane, disk: Pointing) -> bool:
    return min(plane.pixels.shape) < 2.0 * disk.radius_px


def _share_in_frame(plane: Plane, disk: Pointing) -> float:
    height, width = plane.pixels.shape
    along = np.linspace(-1, 1, 65)
    x, y = np.meshgrid(along, along)
    on = x * x + y * y < 1
    px, py = disk.center_x_px + x[on] * disk.radius_px, disk.center_y_px + y[on] * disk.radius_px
    return float(np.mean((px > -0.5) & (px < width - 0.5) & (py > -0.5) & (py < height - 0.5)))
