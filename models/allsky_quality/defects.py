"""Defects laid over good simulated frames, with the cause that is to be named for each (numpy, OpenCV)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from models.allsky_quality.plane import largest_of
from observatory.analysis import Cause
from observatory.fisheye import Fisheye

Pixels = NDArray[np.generic]
Random = np.random.Generator
Defect = Callable[[Pixels, Fisheye, Random], Pixels]


def lost_rows(pixels: Pixels, circle: Fisheye, random: Random) -> Pixels:
    """A tenth to a half of the sky's rows lost: one value in their place."""
    spoilt = pixels.copy()
    first = int(circle.center_y_px - circle.radius_px * circle.aspect * random.uniform(-0.4, 0.6))
    height = int(2 * circle.radius_px * circle.aspect * random.uniform(0.1, 0.5))
    spoilt[max(0, first) : max(0, first) + height] = 0
    return spoilt


def lost_columns(pixels: Pixels, circle: Fisheye, random: Random) -> Pixels:
    """A tenth to a half of the sky's columns lost."""
    spoilt = pixels.copy()
    first = int(circle.center_x_px - circle.radius_px * random.uniform(-0.4, 0.6))
    width = int(2 * circle.radius_px * random.uniform(0.1, 0.5))
    spoilt[:, max(0, first) : max(0, first) + width] = 0
    return spoilt


def no_light(pixels: Pixels, circle: Fisheye, random: Random) -> Pixels:
    """Nothing but the detector: the corners' level and noise everywhere."""
    full = largest_of(pixels.dtype)
    dark = np.percentile(pixels[: max(2, pixels.shape[0] // 16)].astype(np.float32), 50)
    noise = random.normal(0, 0.0007 * full if full > 255 else 0.6, pixels.shape)
    return np.clip(dark + noise, 0, full).astype(pixels.dtype)


def too_much_light(pixels: Pixels, circle: Fisheye, random: Random) -> Pixels:
    """So much gain that a tenth to nine tenths of the sky are at the top."""
    full = largest_of(pixels.dtype)
    rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    radius = np.hypot(columns - circle.center_x_px, (rows - circle.center_y_px) / circle.aspect)
    inside = pixels[radius < 0.8 * circle.radius_px].astype(np.float32)
    top = float(np.percentile(inside, 100 * (1 - random.uniform(0.1, 0.9))))
    return np.clip(pixels.astype(np.float32) * (1.02 * full / max(top, 1.0)), 0, full).astype(pixels.dtype)


def too_little_light(pixels: Pixels, circle: Fisheye, random: Random) -> Pixels:
    """A hundredth of the light, in the detector's noise."""
    full = largest_of(pixels.dtype)
    dark = float(np.percentile(pixels[: max(2, pixels.shape[0] // 16)].astype(np.float32), 50))
    noise = 0.0015 * full if full > 255 else 1.0
    dim = dark + 0.01 * (pixels.astype(np.float32) - dark) + random.normal(0, noise, pixels.shape)
    return np.clip(np.rint(dim), 0, full).astype(pixels.dtype)


def glaring_moon(pixels: Pixels, circle: Fisheye, random: Random) -> Pixels:
    """A Moon that burns out its middle and lights a large part of the sky."""
    full = largest_of(pixels.dtype)
    rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]].astype(np.float32)
    turn, reach = random.uniform(0, 2 * np.pi), random.uniform(0.1, 0.7)
    right = (columns - circle.center_x_px) / circle.radius_px - reach * np.cos(turn)
    down = (rows - circle.center_y_px) / (circle.radius_px * circle.aspect) - reach * np.sin(turn)
    apart = np.hypot(right, down)
    light = full * (3.0 * np.exp(-np.square(apart / 0.05)) + random.uniform(0.5, 1.0) * np.exp(-apart / 0.3))
    light = light if pixels.ndim == 2 else light[..., None]
    return np.clip(pixels.astype(np.float32) + light, 0, full).astype(pixels.dtype)


def frame_of_something_else(pixels: Pixels, circle: Fisheye, random: Random) -> Pixels:
    """Uneven light from edge to edge, as of a camera that lies on its side."""
    full = largest_of(pixels.dtype)
    glow = cv2.resize(random.uniform(0.2, 0.7, (4, 5)).astype(np.float32), pixels.shape[1::-1])
    glow = glow + random.normal(0, 0.01, glow.shape)
    light = full * (glow if pixels.ndim == 2 else np.repeat(glow[..., None], pixels.shape[2], axis=2))
    return np.clip(light, 0, full).astype(pixels.dtype)


DEFECTS: Mapping[str, tuple[Defect, frozenset[Cause]]] = {
    "lost rows": (lost_rows, frozenset({Cause.MISSING_DATA})),
    "lost columns": (lost_columns, frozenset({Cause.MISSING_DATA})),
    "no light": (no_light, frozenset({Cause.LENS_CAP, Cause.UNDEREXPOSED})),
    "too much light": (too_much_light, frozenset({Cause.OVEREXPOSED})),
    "too little light": (too_little_light, frozenset({Cause.UNDEREXPOSED, Cause.LENS_CAP})),
    "glaring Moon": (glaring_moon, frozenset({Cause.MOON_GLARE, Cause.OVEREXPOSED})),
    "something else": (frame_of_something_else, frozenset({Cause.NO_TARGET})),
}
"""Every defect with the causes of which at least one must be named."""
