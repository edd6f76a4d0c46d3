"""What spoils an HMI frame, done to any clean one, with the truth beside it.

As in `models.simulate.aia_defects`, which is used where the two instruments suffer alike. Pixels are
floats with NaN where HMI has nothing, continuum in any unit or field in gauss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from models.simulate import aia_defects
from models.simulate.degrade import Degraded, Truth
from observatory.analysis import Cause
from observatory.frame import Pointing
from observatory.sun import disk_radius_map

FloatArray = NDArray[np.float32]
Defect = Callable[[np.ndarray, Pointing, np.random.Generator, float | None], Degraded]

_DARK_FIELD_G = 2500.0  # noise of the field where there is no light to measure it with


def spoil_hmi(
    pixels: np.ndarray,
    pointing: Pointing,
    cause: Cause,
    random: np.random.Generator,
    strength: float | None = None,
) -> Degraded:
    """Spoil a frame by one cause of `HMI_DEFECTS`.

    Parameters
    ----------
    pixels : ndarray of float, shape (height, width)
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
        When the cause is none of `HMI_DEFECTS`.
    """
    return HMI_DEFECTS[cause](pixels, pointing, random, strength)


def _missing(
    pixels: np.ndarray, pointing: Pointing, random: np.random.Generator, strength: float | None
) -> Degraded:
    """Blocks, rows or a half that never arrived; strength is the share of the frame."""
    return aia_defects.spoil(pixels, pointing, Cause.MISSING_DATA, random, strength)


def _eclipse(
    pixels: np.ndarray, pointing: Pointing, random: np.random.Generator, strength: float | None
) -> Degraded:
    """The Earth or the Moon before the Sun; strength is the share of the diameter covered."""
    spoilt = aia_defects.spoil(pixels, pointing, Cause.ECLIPSE, random, strength)
    if not _is_field(pixels) or spoilt.truth.transmission is None:
        return spoilt
    # A field is measured as well as there is light; where there is none it is noise.
    light = np.maximum(spoilt.truth.transmission, 1e-3)
    noise = random.standard_normal(pixels.shape, dtype=np.float32) * (10.0 / np.sqrt(light) - 10.0)
    measured = pixels * (light > 0.02) + np.clip(noise, -_DARK_FIELD_G, _DARK_FIELD_G)
    return Degraded(measured.astype(pixels.dtype), spoilt.truth)


def _off_point(
    pixels: np.ndarray, pointing: Pointing, random: np.random.Generator, strength: float | None
) -> Degraded:
    """The telescope looks elsewhere and the header does not say so; strength in solar radii."""
    share = _or_drawn(strength, random, 0.1, 0.8)
    angle = random.uniform(0, 2 * np.pi)
    shift = share * pointing.radius_px * np.array([np.cos(angle), np.sin(angle)])
    move = np.array([[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]])
    return _everywhere(pixels, _warped(pixels, move), pointing, Cause.OFF_CENTRE, share)


def _rolled(
    pixels: np.ndarray, pointing: Pointing, random: np.random.Generator, strength: float | None
) -> Degraded:
    """The spacecraft rolls and the header does not say so; strength in quarter turns."""
    share = _or_drawn(strength, random, 0.05, 1.0)
    turn = 90.0 * share * float(random.choice((-1.0, 1.0)))
    move = cv2.getRotationMatrix2D((pointing.center_x_px, pointing.center_y_px), turn, 1.0)
    spoilt = _everywhere(pixels, _warped(pixels, move), pointing, Cause.TRACKING, share)
    return Degraded(
        spoilt.pixels, Truth(Cause.TRACKING, spoilt.truth.region, share, None, {"roll_deg": turn})
    )


def _defocus(
    pixels: np.ndarray, pointing: Pointing, random: np.random.Generator, strength: float | None
) -> Degraded:
    """Out of focus; strength 1 is a Gaussian blur of 4 arcsec (sigma), 0 one of 0.8."""
    share = _or_drawn(strength, random, 0.1, 1.0)
    sigma = (0.8 + 3.2 * share) / pointing.cdelt_arcsec
    blurred = cv2.GaussianBlur(np.nan_to_num(pixels.astype(np.float32)), (0, 0), max(sigma, 0.3))
    return _everywhere(pixels, blurred, pointing, Cause.DEFOCUS, share)


def _spikes(
    pixels: np.ndarray, pointing: Pointing, random: np.random.Generator, strength: float | None
) -> Degraded:
    """Particle hits; strength is the share of pixels hit, times fifty."""
    share = _or_drawn(strength, random, 0.05, 1.0)
    hit = (random.random(pixels.shape, dtype=np.float32) < share / 50.0) & np.isfinite(pixels)
    count = int(hit.sum())
    spoilt = pixels.astype(np.float32)
    if _is_field(pixels):
        spoilt[hit] = random.normal(0, 1500.0, count).astype(np.float32)
    else:
        spoilt[hit] *= random.uniform(1.3, 2.5, count).astype(np.float32)
    return _degraded(pixels, spoilt, pointing, Cause.SPIKES, hit, share)


def _underexposed(
    pixels: np.ndarray, pointing: Pointing, random: np.random.Generator, strength: float | None
) -> Degraded:
    """The shutter closed early; strength is the share of the light lost."""
    share = _or_drawn(strength, random, 0.6, 0.98)
    noise = random.standard_normal(pixels.shape, dtype=np.float32)
    left = 1.0 - 0.999 * share
    if _is_field(pixels):
        spoilt = pixels + noise * np.float32(10.0 / np.sqrt(left))
    else:
        level = float(np.nanmax(pixels[::8, ::8]))
        spoilt = pixels * np.float32(left) + noise * np.float32(1e-3 * level * np.sqrt(left))
    return _everywhere(pixels, spoilt, pointing, Cause.UNDEREXPOSED, share)


def _dark(
    pixels: np.ndarray, pointing: Pointing, random: np.random.Generator, strength: float | None
) -> Degraded:
    """No Sun: a dark frame, or a field made of dark frames."""
    noise = random.standard_normal(pixels.shape, dtype=np.float32)
    level = 500.0 if _is_field(pixels) else 2e-4 * float(np.nanmax(pixels[::8, ::8]))
    return _everywhere(pixels, noise * np.float32(level), pointing, Cause.NO_TARGET, 1.0)


#: All defects that `spoil_hmi` knows.
HMI_DEFECTS: Mapping[Cause, Defect] = {
    Cause.MISSING_DATA: _missing,
    Cause.ECLIPSE: _eclipse,
    Cause.OFF_CENTRE: _off_point,
    Cause.TRACKING: _rolled,
    Cause.DEFOCUS: _defocus,
    Cause.SPIKES: _spikes,
    Cause.UNDEREXPOSED: _underexposed,
    Cause.NO_TARGET: _dark,
}


def _or_drawn(strength: float | None, random: np.random.Generator, low: float, high: float) -> float:
    return float(random.uniform(low, high)) if strength is None else float(np.clip(strength, 0.0, 1.0))


def _is_field(pixels: np.ndarray) -> bool:
    """Whether the values are of either sign."""
    sample = pixels[::8, ::8]
    return bool(np.mean(sample[np.isfinite(sample)] < 0) > 0.1)


def _warped(pixels: np.ndarray, move: np.ndarray) -> FloatArray:
    """Move what is seen: beyond the old frame there is dark sky."""
    size = (pixels.shape[1], pixels.shape[0])
    return np.asarray(cv2.warpAffine(np.nan_to_num(pixels.astype(np.float32)), move, size), np.float32)


def _everywhere(
    clean: np.ndarray, spoilt: np.ndarray, pointing: Pointing, cause: Cause, severity: float
) -> Degraded:
    return _degraded(clean, spoilt, pointing, cause, np.ones(clean.shape, bool), severity)


def _degraded(
    clean: np.ndarray,
    spoilt: np.ndarray,
    pointing: Pointing,
    cause: Cause,
    where: NDArray[np.bool_],
    severity: float,
) -> Degraded:
    height, width = clean.shape
    radius = disk_radius_map(height, width, pointing.center_x_px, pointing.center_y_px, pointing.radius_px)
    kept = np.where(np.isfinite(clean), spoilt, np.float32("nan")).astype(clean.dtype)
    return Degraded(kept, Truth(cause, where & (radius <= 1.0), severity))
