"""Defects laid over good frames, with which the thresholds were set (numpy and OpenCV).

The simulator has defects of its own (`models.simulate.aia_defects`); they set no threshold, which is why
they are not these: they check from outside what these have set.

Each takes a plane of brightness with its disk and gives the spoilt plane. Black is 0; counts keep
their type, pictures their 0 to 255.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from observatory.analysis import Cause
from observatory.frame import Pointing

FloatArray = NDArray[np.floating]
Random = np.random.Generator
Defect = Callable[[FloatArray, Pointing, float, Random], FloatArray]


def lost_blocks(image: FloatArray, disk: Pointing, full: float, random: Random) -> FloatArray:
    """Up to six lost rectangles, each 0.15 to 0.5 radii wide."""
    spoilt = image.copy()
    for _ in range(int(random.integers(2, 7))):
        x, y = _place(disk, random, 0.7)
        width, height = (random.uniform(0.15, 0.5) * disk.radius_px for _ in range(2))
        spoilt[_span(y, height), _span(x, width)] = 0
    return spoilt


def lost_half(image: FloatArray, disk: Pointing, full: float, random: Random) -> FloatArray:
    """Half of the frame lost, along rows or columns."""
    spoilt = image.copy()
    height, width = image.shape
    where = int(random.integers(0, 4))
    rows = (slice(0, height // 2), slice(height // 2, None), slice(None), slice(None))[where]
    columns = (slice(None), slice(None), slice(0, width // 2), slice(width // 2, None))[where]
    spoilt[rows, columns] = 0
    return spoilt


def earth_shadow(image: FloatArray, disk: Pointing, full: float, random: Random) -> FloatArray:
    """The Earth before the Sun: a wide, soft, nearly straight edge through its air."""
    x, y = _grid(image.shape, disk)
    angle = random.uniform(0, 2 * np.pi)
    along = x * np.cos(angle) + y * np.sin(angle) + 0.02 * np.square(-x * np.sin(angle) + y * np.cos(angle))
    depth, softness = random.uniform(-0.6, 0.6), random.uniform(0.015, 0.06)
    return (image / (1 + np.exp(np.clip((along - depth) / softness, -40, 40)))).astype(np.float32)


def lunar_transit(image: FloatArray, disk: Pointing, full: float, random: Random) -> FloatArray:
    """The Moon before the Sun: a sharp dark disk about as large as the Sun."""
    x, y = _grid(image.shape, disk)
    angle, size = random.uniform(0, 2 * np.pi), random.uniform(0.9, 1.1)
    distance = random.uniform(0.3, 1.5)
    moon = np.hypot(x - distance * np.cos(angle), y - distance * np.sin(angle)) < size
    return np.where(moon, np.float32(0), image)


def off_point(image: FloatArray, disk: Pointing, full: float, random: Random) -> FloatArray:
    """The Sun elsewhere than said, 0.05 to 0.9 radii away."""
    angle, distance = random.uniform(0, 2 * np.pi), random.uniform(0.05, 0.9) * disk.radius_px
    shift = np.array([[1, 0, distance * np.cos(angle)], [0, 1, distance * np.sin(angle)]])
    size = (image.shape[1], image.shape[0])
    return np.asarray(cv2.warpAffine(image, shift, size, borderMode=cv2.BORDER_REPLICATE), np.float32)


def particle_hits(image: FloatArray, disk: Pointing, full: float, random: Random) -> FloatArray:
    """Some particles: 1 to 3 of 10 000 pixels hit."""
    return _hit(image, full, 10 ** random.uniform(-4, -3.5), random)


def particle_storm(image: FloatArray, disk: Pointing, full: float, random: Random) -> FloatArray:
    """A storm of particles: 3 to 30 of 10 000 pixels hit."""
    return _hit(image, full, 10 ** random.uniform(-3.5, -2.5), random)


def _hit(image: FloatArray, full: float, share: float, random: Random) -> FloatArray:
    """Single bright pixels, a quarter of them short streaks; what is already brighter stays."""
    spoilt = image.copy()
    height, width = image.shape
    count = int(image.size * share)
    x, y = random.integers(1, width - 4, count), random.integers(1, height - 4, count)
    spoilt[y, x] = np.maximum(spoilt[y, x], full * random.uniform(0.5, 1.0, count))
    streaks = slice(0, count // 4)
    spoilt[y[streaks] + 1, x[streaks] + 1] = full * 0.6
    return spoilt


def overexposure(image: FloatArray, disk: Pointing, full: float, random: Random) -> FloatArray:
    """So much light that at least a fiftieth of the disk is at the top."""
    x, y = _grid(image.shape, disk)
    level = np.percentile(image[np.hypot(x, y) < 1][::7], 100 * (1 - random.uniform(0.02, 0.5)))
    return np.minimum(image * (full / max(float(level), 1.0)), full).astype(np.float32)


def flare_bleeding(image: FloatArray, disk: Pointing, full: float, random: Random) -> FloatArray:
    """A saturated flare whose charge runs along its columns."""
    x, y = _grid(image.shape, disk)
    angle, distance = random.uniform(0, 2 * np.pi), random.uniform(0, 0.9)
    x, y = x - distance * np.cos(angle), y - distance * np.sin(angle)
    size = random.uniform(0.03, 0.06)
    streak = (np.abs(x) < 0.5 * size) & (np.abs(y) < random.uniform(5, 12) * size)
    return np.where((np.hypot(x, y) < size) | streak, np.float32(full), image)


def underexposure(image: FloatArray, disk: Pointing, full: float, random: Random) -> FloatArray:
    """Hardly any light: 1 to 5 % of it."""
    dim = image * random.uniform(0.01, 0.05) + random.normal(0, 0.7, image.shape)
    return np.clip(np.rint(dim), 0, full).astype(np.float32)


def no_sun(image: FloatArray, disk: Pointing, full: float, random: Random) -> FloatArray:
    """Uneven stray light without a Sun."""
    glow = cv2.GaussianBlur(random.normal(0, 1, (64, 64)).astype(np.float32), (0, 0), 6)
    glow = cv2.resize(glow, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_CUBIC)
    level = 0.3 * float(np.median(image[image > 0])) * (1 + glow / max(float(np.abs(glow).max()), 1e-6))
    return np.clip(np.rint(level + random.normal(0, 2, image.shape)), 0, full).astype(np.float32)


#: Every defect with the causes of which at least one must be named.
DEFECTS: Mapping[str, tuple[Defect, frozenset[Cause]]] = {
    "lost blocks": (lost_blocks, frozenset({Cause.MISSING_DATA})),
    "half the frame lost": (lost_half, frozenset({Cause.MISSING_DATA})),
    "Earth's shadow": (earth_shadow, frozenset({Cause.ECLIPSE})),
    "lunar transit": (lunar_transit, frozenset({Cause.ECLIPSE})),
    "off-point": (off_point, frozenset({Cause.OFF_CENTRE})),
    "particle hits": (particle_hits, frozenset({Cause.SPIKES})),
    "particle storm": (particle_storm, frozenset({Cause.SPIKES})),
    "overexposure": (overexposure, frozenset({Cause.OVEREXPOSED})),
    "flare bleeding": (flare_bleeding, frozenset({Cause.OVEREXPOSED})),
    "underexposure": (underexposure, frozenset({Cause.UNDEREXPOSED})),
    "no Sun": (no_sun, frozenset({Cause.NO_TARGET, Cause.UNDEREXPOSED})),
}


def _grid(shape: tuple[int, ...], disk: Pointing) -> tuple[FloatArray, FloatArray]:
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return (x - disk.center_x_px) / disk.radius_px, (y - disk.center_y_px) / disk.radius_px


def _place(disk: Pointing, random: Random, reach: float) -> tuple[float, float]:
    angle, distance = random.uniform(0, 2 * np.pi), reach * np.sqrt(random.uniform()) * disk.radius_px
    return disk.center_x_px + distance * np.cos(angle), disk.center_y_px + distance * np.sin(angle)


def _span(middle: float, length: float) -> slice:
    return slice(max(0, int(middle - length / 2)), max(0, int(middle + length / 2)))
