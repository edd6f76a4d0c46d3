"""All-sky pictures made worse, as haze, lamps, sensors and cameras' own programs make them.

A network that is taught by another one (`models.aurora.teaching`) should agree with it on such pictures as well,
whatever they show: what only the teacher has seen is lost otherwise.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from observatory.fisheye import Fisheye

FloatArray = NDArray[np.float32]

_HAZY, _GLOWING, _NOISY, _STRIPED, _OF_EIGHT_BITS, _PACKED = 0.5, 0.4, 0.6, 0.15, 0.5, 0.7  # shares
_LEAST = 1e-3
_REDUCED = 8  # haze is blurred on a picture so many times smaller


def worn(
    pixels: NDArray[np.generic], circle: Fisheye, random: np.random.Generator
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The picture behind haze, beside a glow, with noise, stripes, or in 8 bits and JPEG, each by chance.

    Parameters
    ----------
    pixels : ndarray, shape (h, w) or (h, w, 3)
    circle : Fisheye
        Of the sky in it.

    Returns
    -------
    ndarray, of the same shape, uint8 or uint16
    """
    light = pixels.astype(np.float32)
    light -= np.percentile(light[::3, ::3], 1)
    distance = _distance(circle, light.shape[:2])
    inside = (distance < 0.95).astype(np.float32)
    grey = light.mean(axis=2) if light.ndim == 3 else light
    middle = max(float(np.median(grey[inside > 0])), _LEAST) if inside.any() else 1.0
    if random.random() < _HAZY:
        light = _hazy(light, circle.radius_px, random)
    if random.random() < _GLOWING:
        light = light + _glow(circle, light.shape, middle, random) * _widened(inside, light)
    if random.random() < _NOISY:
        light = light + _noise(light, middle, random)
    if random.random() < _STRIPED:
        rows = random.standard_normal((len(light), 1), dtype=np.float32)
        light = light + _widened(rows * np.float32(middle * random.uniform(0.005, 0.05)), light)
    if random.random() < _OF_EIGHT_BITS:
        return _in_eight_bits(light, random)
    scale = random.uniform(2000, 40000) / max(float(np.percentile(light, 99.8)), _LEAST)
    return np.clip(light * scale + random.uniform(20, 600), 0, 65535).astype(np.uint16)


def _distance(
    circle: Fisheye, shape: tuple[int, ...], x_px: float = 0.0, y_px: float = 0.0
) -> NDArray[np.float32]:
    """From a point beside the circle's centre, in its radii."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    apart = np.hypot(columns - circle.center_x_px - x_px, rows - circle.center_y_px - y_px)
    return np.asarray(apart / circle.radius_px, np.float32)


def _widened(plane: FloatArray, light: FloatArray) -> FloatArray:
    return plane[..., None] if light.ndim == 3 else plane


def _hazy(light: FloatArray, radius_px: float, random: np.random.Generator) -> FloatArray:
    """Part of the light comes from all around where it would have come from."""
    share = np.float32(random.uniform(0.2, 0.85))
    width = max(radius_px * random.uniform(0.08, 0.35) / _REDUCED, 0.5)
    height, length = light.shape[:2]
    small = cv2.resize(light, None, fx=1 / _REDUCED, fy=1 / _REDUCED, interpolation=cv2.INTER_AREA)
    wide = cv2.resize(cv2.GaussianBlur(small, (0, 0), width), (length, height))
    return np.asarray((1 - share) * light + share * wide)


def _glow(circle: Fisheye, shape: tuple[int, ...], middle: float, random: np.random.Generator) -> FloatArray:
    """Around a lamp or a Moon anywhere in the sky."""
    angle, far = random.uniform(0, 2 * np.pi), np.sqrt(random.random()) * circle.radius_px
    distance = _distance(circle, shape, far * np.cos(angle), far * np.sin(angle))
    slope = 1 + (distance / random.uniform(0.05, 0.5)) ** random.uniform(1, 2.5)
    glow = (middle * random.uniform(0.2, 4) / slope).astype(np.float32)
    if len(shape) == 2:
        return glow
    return np.asarray(glow[..., None] * random.uniform(0.8, 1.2, 3).astype(np.float32))


def _noise(light: FloatArray, middle: float, random: np.random.Generator) -> FloatArray:
    """More of it where there is more light; in a third of the pictures neighbours share it."""
    noise = random.standard_normal(light.shape, np.float32)
    size = np.float32(middle * random.uniform(0.005, 0.2) * random.random())
    if random.random() < 0.3:
        noise = 2 * cv2.GaussianBlur(noise, (0, 0), random.uniform(0.5, 1.2))
    return np.asarray(size * noise * np.sqrt(np.maximum(light, 0) / np.float32(middle) + np.float32(0.3)))


def _in_eight_bits(light: FloatArray, random: np.random.Generator) -> NDArray[np.uint8]:
    """Stretched by a camera's own program, most often with JPEG's blocks."""
    top = max(float(np.percentile(light, 99.8)), _LEAST) * random.uniform(0.6, 2.5)
    toned = np.clip(light / top, 0, 1) ** random.uniform(0.4, 1.1)
    shown = np.clip(toned * random.uniform(140, 250) + random.uniform(0, 15), 0, 255).round().astype(np.uint8)
    if random.random() >= _PACKED:
        return shown
    quality = int(random.integers(50, 97))
    packed = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_UNCHANGED))
