"""Defects laid over good frames, with which the thresholds were set (numpy and OpenCV).

Each takes a frame of continuum or field and gives the spoilt frame; coloured pictures come back in
grey. Lost pixels are NaN in numbers and black in pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from models.hmi_quality.plane import Plane, Scene, gauss_per_unit, plane_of, scene_of
from observatory.analysis import Cause, Quantity
from observatory.frame import Frame, Pointing

FloatArray = NDArray[np.floating]
Random = np.random.Generator


@dataclass(frozen=True)
class Canvas:
    """What a defect works on.

    Attributes
    ----------
    image : ndarray, float32
        The frame's numbers, not to be written to.
    disk : Pointing
        The Sun's disk; of a patch a circle about it.
    level : float
        Brightness of the disk, or of a field 100 G, in the frame's unit.
    scale_arcsec : float
        Plate scale; HMI's own where it is unknown.
    """

    image: FloatArray
    disk: Pointing
    level: float
    scale_arcsec: float
    is_picture: bool
    is_field: bool
    is_patch: bool

    @property
    def lost(self) -> np.float32:
        """What stands for a lost pixel."""
        return np.float32(0.0) if self.is_picture else np.float32("nan")


@dataclass(frozen=True)
class Defect:
    """One kind of defect.

    Attributes
    ----------
    spoil : Callable
        Canvas and random numbers to the spoilt image.
    named : frozenset of Cause
        Of which at least one must be named.
    quantities : frozenset of Quantity
        What it can spoil.
    on_patches : bool
        Whether it can be told without a disk.
    """

    spoil: Callable[[Canvas, Random], FloatArray]
    named: frozenset[Cause]
    quantities: frozenset[Quantity] = frozenset(Quantity)
    on_patches: bool = True


def canvas_of(frame: Frame) -> Canvas:
    """Make a frame ready to be spoilt."""
    plane = plane_of(frame)
    scene = scene_of(plane)
    image = plane.pixels.astype(np.float32)
    return Canvas(
        image,
        _disk(plane, scene),
        _level(plane, image),
        scene.cdelt_arcsec or 0.504,
        plane.is_picture,
        plane.is_field,
        scene.disk is None,
    )


def spoilt(frame: Frame, defect: Defect, random: Random) -> Frame:
    """Lay a defect over a frame."""
    canvas = canvas_of(frame)
    image = defect.spoil(canvas, random)
    if canvas.is_picture:
        return replace(frame, pixels=np.clip(np.rint(image), 0, 255).astype(np.uint8))
    return replace(frame, pixels=image.astype(np.float32))


def _disk(plane: Plane, scene: Scene) -> Pointing:
    if scene.disk is not None:
        return scene.disk
    height, width = plane.pixels.shape
    return Pointing((width - 1) / 2, (height - 1) / 2, min(height, width) / 2)


def _level(plane: Plane, image: FloatArray) -> float:
    if plane.is_field:
        return 40.0 if plane.is_picture else 100.0 / (gauss_per_unit(plane.frame) or 1.0)
    return float(np.nanpercentile(image[::4, ::4], 70))


# -- lost pixels -------------------------------------------------------------------------------


def lost_blocks(canvas: Canvas, random: Random) -> FloatArray:
    """Two to six lost rectangles, each 0.15 to 0.5 radii wide."""
    image = canvas.image.copy()
    for _ in range(int(random.integers(2, 7))):
        x, y = _place(canvas.disk, random, 0.7)
        width, height = (random.uniform(0.15, 0.5) * canvas.disk.radius_px for _ in range(2))
        image[_span(y, height), _span(x, width)] = canvas.lost
    return image


def lost_half(canvas: Canvas, random: Random) -> FloatArray:
    """Half of the frame lost, along rows or columns."""
    image = canvas.image.copy()
    height, width = image.shape
    parts = (np.s_[: height // 2], np.s_[height // 2 :], np.s_[:, : width // 2], np.s_[:, width // 2 :])
    image[parts[int(random.integers(0, 4))]] = canvas.lost
    return image


def lost_pixels(canvas: Canvas, random: Random) -> FloatArray:
    """Two to ten percent of the pixels lost, scattered; of pictures, that cannot tell, rows."""
    image = canvas.image.copy()
    share = random.uniform(0.02, 0.1)
    if canvas.is_picture:
        first = int(random.uniform(0.3, 0.6) * image.shape[0])
        image[first : first + max(4, int(share * image.shape[0]))] = 0
    else:
        image[random.random(image.shape, dtype=np.float32) < share] = np.nan
    return image


# -- what comes between ------------------------------------------------------------------------


def earth_shadow(canvas: Canvas, random: Random) -> FloatArray:
    """The Earth before the Sun: a wide, soft, nearly straight edge through its air."""
    x, y = _grid(canvas)
    angle = random.uniform(0, 2 * np.pi)
    along = x * np.cos(angle) + y * np.sin(angle) + 0.02 * np.square(-x * np.sin(angle) + y * np.cos(angle))
    depth, softness = random.uniform(-0.6, 0.6), random.uniform(0.015, 0.06)
    return _dimmed(canvas, 1 / (1 + np.exp(np.clip((along - depth) / softness, -40, 40))), random)


def lunar_transit(canvas: Canvas, random: Random) -> FloatArray:
    """The Moon before the Sun: a sharp dark disk about as large as the Sun."""
    x, y = _grid(canvas)
    angle, size, distance = random.uniform(0, 2 * np.pi), random.uniform(0.9, 1.1), random.uniform(0.3, 1.5)
    moon = np.hypot(x - distance * np.cos(angle), y - distance * np.sin(angle)) < size
    return _dimmed(canvas, np.where(moon, np.float32(0), np.float32(1)), random)


def _dimmed(canvas: Canvas, light: FloatArray, random: Random) -> FloatArray:
    """Less light: of a field's ratio of differences to sums nothing but more noise."""
    if not canvas.is_field:
        return (canvas.image * light).astype(np.float32)
    noise = random.normal(0, 0.1 * canvas.level, canvas.image.shape).astype(np.float32)
    middle = 127.0 if canvas.is_picture else 0.0
    seen = (canvas.image - middle) * (light > 0.02) + noise / np.sqrt(np.maximum(light, 1e-4))
    return np.where(canvas.image == canvas.lost, canvas.lost, seen + middle).astype(np.float32)


# -- place and focus ---------------------------------------------------------------------------


def off_point(canvas: Canvas, random: Random) -> FloatArray:
    """The Sun elsewhere than said, 0.05 to 0.9 radii away."""
    angle, distance = random.uniform(0, 2 * np.pi), random.uniform(0.05, 0.9) * canvas.disk.radius_px
    shift = np.array([[1, 0, distance * np.cos(angle)], [0, 1, distance * np.sin(angle)]])
    size = (canvas.image.shape[1], canvas.image.shape[0])
    outside = float(canvas.lost)
    moved = cv2.warpAffine(
        canvas.image,
        shift,
        size,
        flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=outside,
    )
    return np.asarray(moved, np.float32)


def defocus(canvas: Canvas, random: Random) -> FloatArray:
    """A blur of 0.8 to 3 arcsec (standard deviation), of coarser pictures of 2 to 6 pixels."""
    sigma = random.uniform(0.8, 3.0) / canvas.scale_arcsec
    if canvas.scale_arcsec > 0.75:
        sigma = random.uniform(2.0, 6.0)
    known = np.isfinite(canvas.image)
    soft = cv2.GaussianBlur(np.nan_to_num(canvas.image), (0, 0), sigma)
    return np.where(known, soft, np.float32("nan")).astype(np.float32)


# -- light and particles -----------------------------------------------------------------------


def particle_storm(canvas: Canvas, random: Random) -> FloatArray:
    """A storm of particles: 3 to 30 of 10 000 pixels hit, a quarter of them short streaks."""
    image = canvas.image.copy()
    height, width = image.shape
    count = max(12, int(image.size * 10 ** random.uniform(-3.5, -2.5)))
    x, y = random.integers(1, width - 4, count), random.integers(1, height - 4, count)
    size = canvas.level * random.uniform(0.4, 1.5, count)
    if canvas.is_field:
        size = canvas.level * random.uniform(4.0, 20.0, count) * random.choice((-1, 1), count)
    image[y, x] += size
    streaks = slice(0, count // 4)
    image[y[streaks] + 1, x[streaks] + 1] += size[streaks] * 0.6
    return image


def overexposure(canvas: Canvas, random: Random) -> FloatArray:
    """So much light that 2 to 50 % of the disk is at the top."""
    top = 255.0 if canvas.is_picture else canvas.level
    x, y = _grid(canvas)
    level = np.nanpercentile(canvas.image[np.hypot(x, y) < 1][::7], 100 * (1 - random.uniform(0.02, 0.5)))
    return np.minimum(canvas.image * (top / float(level)), top).astype(np.float32)


def underexposure(canvas: Canvas, random: Random) -> FloatArray:
    """Hardly any light: 1 to 20 % of it."""
    return (canvas.image * random.uniform(0.01, 0.2)).astype(np.float32)


def noise_alone(canvas: Canvas, random: Random) -> FloatArray:
    """No Sun: noise about one level."""
    middle = (127.0 if canvas.is_picture else 0.0) if canvas.is_field else 0.3 * canvas.level
    spread = random.uniform(0.1, 0.5) * canvas.level
    return (middle + random.normal(0, spread, canvas.image.shape)).astype(np.float32)


def one_value(canvas: Canvas, random: Random) -> FloatArray:
    """The same number everywhere."""
    return np.full(canvas.image.shape, np.float32(random.uniform(0.0, 1.0) * canvas.level), np.float32)


def noisy_field(canvas: Canvas, random: Random) -> FloatArray:
    """Eight to forty times the noise of 10 G, as from too little light."""
    noise = random.normal(0, random.uniform(0.8, 4.0) * canvas.level, canvas.image.shape)
    return (canvas.image + noise).astype(np.float32)


def negative(canvas: Canvas, random: Random) -> FloatArray:
    """The sign turned."""
    return -canvas.image


_CONTINUUM, _FIELD = frozenset({Quantity.CONTINUUM}), frozenset({Quantity.FIELD})
_DARK = frozenset({Cause.NO_TARGET, Cause.UNDEREXPOSED, Cause.MISSING_DATA})

DEFECTS: Mapping[str, Defect] = {
    "lost blocks": Defect(lost_blocks, frozenset({Cause.MISSING_DATA})),
    "half the frame lost": Defect(lost_half, frozenset({Cause.MISSING_DATA})),
    "lost pixels or rows": Defect(lost_pixels, frozenset({Cause.MISSING_DATA})),
    "Earth's shadow": Defect(earth_shadow, frozenset({Cause.ECLIPSE}), on_patches=False),
    "lunar transit": Defect(lunar_transit, frozenset({Cause.ECLIPSE}), on_patches=False),
    "off-point": Defect(off_point, frozenset({Cause.OFF_CENTRE}), on_patches=False),
    "defocus": Defect(defocus, frozenset({Cause.DEFOCUS}), _CONTINUUM),
    "particle storm": Defect(particle_storm, frozenset({Cause.SPIKES})),
    "overexposure": Defect(overexposure, frozenset({Cause.OVEREXPOSED}), _CONTINUUM),
    "underexposure": Defect(underexposure, frozenset({Cause.UNDEREXPOSED}), _CONTINUUM),
    "noise alone": Defect(noise_alone, frozenset({Cause.NO_TARGET, Cause.UNDEREXPOSED})),
    "one value": Defect(one_value, _DARK),
    "noisy field": Defect(noisy_field, frozenset({Cause.UNDEREXPOSED, Cause.NO_TARGET}), _FIELD),
}


def _grid(canvas: Canvas) -> tuple[FloatArray, FloatArray]:
    y, x = np.ogrid[: canvas.image.shape[0], : canvas.image.shape[1]]
    disk = canvas.disk
    return (
        ((x - disk.center_x_px) / disk.radius_px).astype(np.float32),
        ((y - disk.center_y_px) / disk.radius_px).astype(np.float32),
    )


def _place(disk: Pointing, random: Random, reach: float) -> tuple[float, float]:
    angle, distance = random.uniform(0, 2 * np.pi), reach * np.sqrt(random.uniform()) * disk.radius_px
    return disk.center_x_px + distance * np.cos(angle), disk.center_y_px + distance * np.sin(angle)


def _span(middle: float, length: float) -> slice:
    return slice(max(0, int(middle - length / 2)), max(0, int(middle + length / 2)))
