"""What spoils an AIA frame, done to any clean one, with the truth beside it.

As in `models.simulate.degrade`: pixels, disk and a random generator in, spoilt pixels and what was
done out. Pixels may be DN (int16 or float) or the brightness of a picture (uint8).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from models.simulate.aia_fits import BLANK
from models.simulate.degrade import Degraded, Truth, fractal_field
from observatory.analysis import Cause
from observatory.frame import Pointing
from observatory.sun import disk_radius_map

BoolArray = NDArray[np.bool_]
Defect = Callable[[np.ndarray, Pointing, np.random.Generator, float | None], Degraded]

_FULL_WELL_DN = 16383  # 14-bit camera


def spoil(
    pixels: np.ndarray,
    pointing: Pointing,
    cause: Cause,
    random: np.random.Generator,
    strength: float | None = None,
) -> Degraded:
    """Spoil a frame by one cause of `AIA_DEFECTS`.

    Parameters
    ----------
    pixels : ndarray, shape (height, width)
        Not written to.
    strength : float, optional
        0 to 1; what it measures stands with each defect. None draws one.

    Returns
    -------
    Degraded
        Pixels of the same type and size, and the truth: its region is the spoilt part of the disk.

    Raises
    ------
    KeyError
        When the cause is none of `AIA_DEFECTS`.
    """
    return AIA_DEFECTS[cause](pixels, pointing, random, strength)


def _eclipse(
    pixels: np.ndarray, pointing: Pointing, random: np.random.Generator, strength: float | None
) -> Degraded:
    """The Earth or the Moon before the Sun; strength is the share of the disk's diameter covered.

    The Earth's limb is soft (its atmosphere absorbs up to some hundred kilometres) and nearly
    straight, the Moon's is sharp and curved like the Sun's.
    """
    share = _or_drawn(strength, random, 0.1, 0.9)
    is_moon = bool(random.random() < 0.3)
    radius = pointing.radius_px * (1.02 if is_moon else 60.0)
    angle = random.uniform(0, 2 * np.pi)
    distance = pointing.radius_px * (1.0 - 2.0 * share) + radius
    center = (
        pointing.center_x_px + distance * np.cos(angle),
        pointing.center_y_px + distance * np.sin(angle),
    )
    height, width = pixels.shape[:2]
    beyond = disk_radius_map(height, width, center[0], center[1], radius) - 1.0
    depth = radius * beyond  # pixels outside the shadow
    softness = pointing.radius_px * (0.002 if is_moon else 0.03)
    transmission = np.clip(0.5 + depth / (2.0 * softness), 0.0, 1.0).astype(np.float32)
    spoilt = _as(pixels, pixels.astype(np.float32) * transmission)
    return _degraded(pixels, spoilt, pointing, Cause.ECLIPSE, transmission < 0.9, share, transmission)


def _missing(
    pixels: np.ndarray, pointing: Pointing, random: np.random.Generator, strength: float | None
) -> Degraded:
    """Lost telemetry: compression blocks, strips of rows or half a frame; strength is the share lost.

    Level 1 files mark lost pixels by the least int16; pictures show them black.
    """
    share = _or_drawn(strength, random, 0.02, 0.5)
    height, width = pixels.shape[:2]
    lost = np.zeros((height, width), bool)
    kind = random.choice(("rows", "blocks")) if share < 0.4 else "half"
    if kind == "half":
        rows = round(share * height)
        lost[slice(0, rows) if random.random() < 0.5 else slice(height - rows, height)] = True
    else:
        side = max(4, height // 64)
        for _ in range(4000):
            y = int(random.integers(0, height))
            if kind == "rows":
                lost[y : y + side] = True
            else:
                x = int(random.integers(0, width))
                lost[y : y + 2 * side, x : x + 4 * side] = True
            if lost.mean() >= share:
                break
    spoilt = pixels.copy()
    spoilt[lost] = _lost_value(pixels.dtype)
    return _degraded(pixels, spoilt, pointing, Cause.MISSING_DATA, lost, float(lost.mean()))


def _lost_value(dtype: np.dtype) -> float | int:
    if dtype.kind == "f":
        return float("nan")
    return BLANK if dtype == np.int16 else 0


def _off_point(
    pixels: np.ndarray, pointing: Pointing, random: np.random.Generator, strength: float | None
) -> Degraded:
    """The telescope looks elsewhere; strength is the shift of the disk in solar radii."""
    share = _or_drawn(strength, random, 0.15, 0.8)
    angle = random.uniform(0, 2 * np.pi)
    shift = share * pointing.radius_px * np.array([np.cos(angle), np.sin(angle)])
    sky = float(np.percentile(_finite(pixels[::8, ::8]), 1))
    move = np.array([[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]])
    size = (pixels.shape[1], pixels.shape[0])
    moved = cv2.warpAffine(np.nan_to_num(pixels.astype(np.float32)), move, size, borderValue=sky)
    everywhere = np.ones(pixels.shape[:2], bool)
    return _degraded(pixels, _as(pixels, moved), pointing, Cause.OFF_CENTRE, everywhere, share)


def _saturation(
    pixels: np.ndarray, pointing: Pointing, random: np.random.Generator, strength: float | None
) -> Degraded:
    """A flare: a knot above full well that bleeds along its columns; strength is its size.

    Strength 1 is a knot of a twentieth of the solar radius.
    """
    share = _or_drawn(strength, random, 0.2, 1.0)
    height, width = pixels.shape[:2]
    top = 255.0 if pixels.dtype == np.uint8 else float(_FULL_WELL_DN)
    rho, angle = 0.85 * np.sqrt(random.random()), random.uniform(0, 2 * np.pi)
    x = pointing.center_x_px + rho * pointing.radius_px * np.cos(angle)
    y = pointing.center_y_px + rho * pointing.radius_px * np.sin(angle)
    size = max(1.2, 0.05 * share * pointing.radius_px)
    columns, rows = np.arange(width, dtype=np.float32) - x, np.arange(height, dtype=np.float32) - y
    knot = np.exp(-0.5 * (np.square(columns)[None, :] + np.square(rows)[:, None]) / size**2)
    halo = np.exp(-np.hypot(columns[None, :], rows[:, None]) / (12.0 * size))
    bleeding = (
        np.exp(-0.5 * np.square(columns / (0.8 * size)))[None, :]
        * (np.abs(rows) < size * (6.0 + 22.0 * share))[:, None]
    )
    light = pixels.astype(np.float32) + top * (8.0 * knot + 0.05 * halo + 1.6 * bleeding)
    spoilt = np.minimum(light, top)
    return _degraded(pixels, _as(pixels, spoilt), pointing, Cause.OVEREXPOSED, light >= top, share)


def _spikes(
    pixels: np.ndarray, pointing: Pointing, random: np.random.Generator, strength: float | None
) -> Degraded:
    """Particle hits, as in a proton storm; strength is the share of pixels hit, times twenty."""
    share = _or_drawn(strength, random, 0.05, 1.0)
    height, width = pixels.shape[:2]
    count = max(1, int(share / 20.0 * height * width / 2.5))
    top = 255.0 if pixels.dtype == np.uint8 else float(_FULL_WELL_DN)
    bright = np.minimum(random.lognormal(np.log(0.15 * top), 1.0, count), top).astype(np.float32)
    x, y = random.integers(0, width, count), random.integers(0, height, count)
    spoilt = np.nan_to_num(pixels.astype(np.float32))
    hit = np.zeros((height, width), bool)
    for step in range(4):  # tracks of one to four pixels
        of = random.random(count) < 0.62**step
        at_x, at_y = np.minimum(x[of] + step, width - 1), np.minimum(y[of] + step // 2, height - 1)
        np.maximum.at(spoilt, (at_y, at_x), bright[of])
        hit[at_y, at_x] = True
    return _degraded(pixels, _as(pixels, spoilt), pointing, Cause.SPIKES, hit, share)


def _underexposed(
    pixels: np.ndarray, pointing: Pointing, random: np.random.Generator, strength: float | None
) -> Degraded:
    """The shutter closed early; strength is the share of the light lost."""
    share = _or_drawn(strength, random, 0.6, 0.98)
    light = np.nan_to_num(pixels.astype(np.float32)) * np.float32(1.0 - share)
    noise = random.standard_normal(light.shape, dtype=np.float32)
    spoilt = light + noise * np.sqrt(np.maximum(light * share, 0.0))
    everywhere = np.ones(pixels.shape[:2], bool)
    return _degraded(pixels, _as(pixels, spoilt), pointing, Cause.UNDEREXPOSED, everywhere, share)


def _defocus(
    pixels: np.ndarray, pointing: Pointing, random: np.random.Generator, strength: float | None
) -> Degraded:
    """Out of focus or jittering; strength is the blur's sigma in hundredths of the solar radius."""
    share = _or_drawn(strength, random, 0.3, 1.0)
    sigma = max(0.6, 0.01 * share * pointing.radius_px)
    blurred = cv2.GaussianBlur(np.nan_to_num(pixels.astype(np.float32)), (0, 0), sigma)
    everywhere = np.ones(pixels.shape[:2], bool)
    return _degraded(pixels, _as(pixels, blurred), pointing, Cause.DEFOCUS, everywhere, share)


def _dark(
    pixels: np.ndarray, pointing: Pointing, random: np.random.Generator, strength: float | None
) -> Degraded:
    """A dark frame: the shutter stayed closed; read noise and a faint pattern."""
    pattern = cv2.resize(fractal_field(random, 64, 2.0), pixels.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    spoilt = random.standard_normal(pixels.shape[:2], dtype=np.float32) * 1.2 + 0.5 * pattern
    everywhere = np.ones(pixels.shape[:2], bool)
    return _degraded(pixels, _as(pixels, spoilt), pointing, Cause.LENS_CAP, everywhere, 1.0)


#: All defects that `spoil` knows.
AIA_DEFECTS: Mapping[Cause, Defect] = {
    Cause.ECLIPSE: _eclipse,
    Cause.MISSING_DATA: _missing,
    Cause.OFF_CENTRE: _off_point,
    Cause.OVEREXPOSED: _saturation,
    Cause.SPIKES: _spikes,
    Cause.UNDEREXPOSED: _underexposed,
    Cause.DEFOCUS: _defocus,
    Cause.LENS_CAP: _dark,
}


def _or_drawn(strength: float | None, random: np.random.Generator, low: float, high: float) -> float:
    return float(random.uniform(low, high)) if strength is None else float(np.clip(strength, 0.0, 1.0))


def _finite(values: np.ndarray) -> np.ndarray:
    return np.nan_to_num(values.astype(np.float32))


def _as(like: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Round and clip to the type of the clean frame."""
    if like.dtype.kind == "f":
        return values.astype(like.dtype)
    limits = np.iinfo(like.dtype)
    return np.clip(np.rint(np.nan_to_num(values)), limits.min, limits.max).astype(like.dtype)


def _degraded(
    clean: np.ndarray,
    spoilt: np.ndarray,
    pointing: Pointing,
    cause: Cause,
    where: BoolArray,
    severity: float,
    transmission: np.ndarray | None = None,
) -> Degraded:
    height, width = clean.shape[:2]
    center_x, center_y = pointing.center_x_px, pointing.center_y_px
    radius = disk_radius_map(height, width, center_x, center_y, pointing.radius_px)
    return Degraded(spoilt, Truth(cause, where & (radius <= 1.0), severity, transmission))
