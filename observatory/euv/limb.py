"""The solar limb in extreme ultraviolet: a kink, not an edge.

The corona goes on beyond the limb, so its brightness rises to the limb (coronal channels) or is flat
(chromospheric ones) and falls beyond it. Common to all channels is the bend: the curvature of log
brightness along the radius is largest at about 1.01 solar radii.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from observatory.frame import Pointing

FloatArray = NDArray[np.floating]

#: Radius of the largest bend in photospheric radii, measured on AIA frames of known pointing (2010 to
#: 2025): the hotter the plasma that a channel shows, the higher its limb seems to lie.
_LIMB_HEIGHT = {193: 1.012, 195: 1.012, 211: 1.013, 335: 1.012}
_COMMON_LIMB_HEIGHT = 1.008
_REDUCED_SIDE_PX = 512
_SECTORS, _RAYS_IN_SECTOR = 36, 8
_STEP = 0.002  # radial step in units of the guessed radius
_REACH = 0.11
_SHIFT = 0.05  # centre and radius are searched this far about the guess
_SMOOTH = 2.5  # steps
#: Real limbs reach 5.4 to 8.8, noise of any grain up to 3.5.
_CERTAIN = 4.5
_LEAST_BEND = 5e-4  # of log brightness; rounding alone stays a hundred times below
_LEAST_SCORE = 0.4  # mean bend along the circle over its deviation; real limbs: 0.92 and more


@dataclass(frozen=True)
class LimbBend:
    """A circle through the bend.

    Attributes
    ----------
    center_x_px, center_y_px, radius_px : float
        Disk centre and photospheric radius in 0-based pixels of the array that was given.
    certainty : float
        How far the best circle stands out among the others tried, in their standard deviations.
    """

    center_x_px: float
    center_y_px: float
    radius_px: float
    certainty: float

    @property
    def is_certain(self) -> bool:
        """Whether this is a limb and no chance."""
        return self.certainty >= _CERTAIN

    def to_pointing(self, rsun_arcsec: float = 959.63, roll_deg: float | None = None) -> Pointing:
        """Return the circle as a `Pointing` with source ``limb``."""
        return Pointing(
            self.center_x_px, self.center_y_px, self.radius_px, rsun_arcsec, roll_deg, source="limb"
        )


def limb_height(channel: int | None) -> float:
    """Where the limb of a channel (angstrom) bends, in photospheric radii."""
    return _LIMB_HEIGHT.get(channel or 0, _COMMON_LIMB_HEIGHT)


def find_bend(
    pixels: np.ndarray,
    center_x_px: float,
    center_y_px: float,
    radius_px: float,
    height_radii: float = _COMMON_LIMB_HEIGHT,
) -> LimbBend | None:
    """Fit the limb near a guess: centre and radius within 5 % of the guessed radius.

    Parameters
    ----------
    pixels : ndarray, shape (height, width)
        Brightness, counts or display values.
    height_radii : float
        See `limb_height`.

    Returns
    -------
    LimbBend or None
        None when too little of the guessed circle lies inside the picture.
    """
    factor = max(1, int(2.6 * radius_px / _REDUCED_SIDE_PX))
    height, width = (length // factor for length in pixels.shape)
    if min(height, width) < 32 or radius_px < 24:
        return None
    small = _reduced(pixels[: height * factor, : width * factor], (width, height))
    x, y, radius = (center_x_px + 0.5) / factor - 0.5, (center_y_px + 0.5) / factor - 0.5, radius_px / factor
    bend = _bend_of_rays(small, x, y, radius * height_radii)
    if bend is None:
        return None
    found = _best_circle(bend)
    if found is None:
        return None
    dx, dy, ratio, certainty = found
    return LimbBend(
        center_x_px=(x + dx * radius * height_radii + 0.5) * factor - 0.5,
        center_y_px=(y + dy * radius * height_radii + 0.5) * factor - 0.5,
        radius_px=ratio * radius_px,
        certainty=certainty,
    )


def ring_center(pixels: np.ndarray, radius_px: float) -> tuple[float, float]:
    """Find where a limb of a known radius is likeliest centred, anywhere in or near the frame.

    The bend seen as the Laplacian of log brightness, correlated with a ring. A first guess: let
    `find_bend` say whether it is a limb.

    Returns
    -------
    (x, y) in 0-based pixels of the array that was given.
    """
    factor = max(1, round(radius_px / 40.0))
    height, width = (max(1, length // factor) for length in pixels.shape)
    small = _reduced(pixels[: height * factor, : width * factor], (width, height))
    radius = radius_px / factor
    floor = np.float32(0.02 * max(float(np.percentile(small, 90)), 1e-3))
    log = cv2.GaussianBlur(np.log(np.maximum(small, 0) + floor), (0, 0), 1.0)
    bend = -cv2.Laplacian(log, cv2.CV_32F, ksize=3)
    scale = 1.5 * float(np.median(np.abs(bend))) + 1e-6
    margin = int(radius) + 2
    bend = cv2.copyMakeBorder(
        np.clip(bend / scale, -2, 2), margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=0
    )
    reach = int(radius) + 3
    along = np.arange(-reach, reach + 1, dtype=np.float32)
    distance = np.hypot(along[:, None], along[None, :])
    ring = np.exp(-0.5 * np.square((distance - radius) / 1.2)).astype(np.float32)
    score = cv2.filter2D(bend, cv2.CV_32F, ring, borderType=cv2.BORDER_CONSTANT)
    y, x = np.unravel_index(int(np.argmax(score)), score.shape)
    return (float(x) - margin + 0.5) * factor - 0.5, (float(y) - margin + 0.5) * factor - 0.5


def _reduced(pixels: np.ndarray, size: tuple[int, int]) -> FloatArray:
    if pixels.dtype not in (np.uint8, np.int16, np.uint16, np.float32):
        pixels = pixels.astype(np.float32)
    if size != pixels.shape[::-1]:
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return np.asarray(
        np.nan_to_num(pixels.astype(np.float32, copy=False), posinf=0.0, neginf=0.0), np.float32
    )


@dataclass(frozen=True)
class _Bend:
    """Curvature of log brightness: one row a sector, columns along the radius."""

    strength: FloatArray
    angle: FloatArray


def _bend_of_rays(small: FloatArray, x: float, y: float, radius: float) -> _Bend | None:
    offset = np.arange(1.0 - _REACH, 1.0 + _REACH + _STEP / 2, _STEP, dtype=np.float32)
    count = _SECTORS * _RAYS_IN_SECTOR
    angle = np.arange(count, dtype=np.float32) * np.float32(2 * np.pi / count)
    px = (x + np.cos(angle)[:, None] * (radius * offset)).astype(np.float32)
    py = (y + np.sin(angle)[:, None] * (radius * offset)).astype(np.float32)
    height, width = small.shape
    near = slice(len(offset) // 4, -(len(offset) // 4))
    seen = ((px >= 0) & (px <= width - 1) & (py >= 0) & (py <= height - 1))[:, near].all(axis=1)
    whole = seen.reshape(_SECTORS, _RAYS_IN_SECTOR).all(axis=1)
    if int(whole.sum()) < _SECTORS // 3:
        return None
    floor = np.float32(0.02 * max(float(np.percentile(small[::4, ::4], 90)), 1e-3))
    values = cv2.remap(small, px, py, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    log = np.log(np.maximum(values, 0) + floor).reshape(_SECTORS, _RAYS_IN_SECTOR, -1).mean(axis=1)
    log = cv2.GaussianBlur(log, (0, 0), sigmaX=_SMOOTH, sigmaY=0.01)
    strength = np.zeros_like(log)
    strength[:, 2:-2] = 2 * log[:, 2:-2] - log[:, :-4] - log[:, 4:]
    scale = np.sqrt(np.square(strength).mean(axis=1, keepdims=True)) + np.float32(_LEAST_BEND)
    # One active region at the limb must not outvote the rest of it.
    strength = np.clip(strength / scale, -2.0, 2.0)
    strength[~whole] = 0.0
    middle = (np.arange(_SECTORS) + 0.5 - 0.5 / _RAYS_IN_SECTOR) * (2 * np.pi / _SECTORS)
    return _Bend(np.asarray(strength, np.float32), middle)


@cache
def _trials(reach: int, step: int) -> FloatArray:
    """Centre shifts and radius changes to try, (n, 3) in radial steps."""
    along = np.arange(-reach, reach + 1, step)
    trials = np.stack(np.meshgrid(along, along, along, indexing="ij"), axis=-1)
    return trials.reshape(-1, 3).astype(np.float64)


def _best_circle(bend: _Bend) -> tuple[float, float, float, float] | None:
    coarse = round(_SHIFT / _STEP)
    start = np.zeros(3)
    certainty = 0.0
    strength = bend.strength
    for reach, step in ((coarse, 5), (6, 2), (2, 1)):
        trials = start + _trials(reach, step)
        blurred = cv2.GaussianBlur(strength, (0, 0), sigmaX=2.0, sigmaY=0.01) if step > 2 else strength
        score = _scores(blurred, bend.angle, trials)
        best = int(np.argmax(score))
        if reach == coarse:
            spread = float(score.std())
            certainty = (
                (float(score[best]) - float(score.mean())) / spread if score[best] >= _LEAST_SCORE else 0.0
            )
        start = trials[best]
    dx, dy, dr = start * _STEP
    return float(dx), float(dy), float(1.0 + dr), certainty


def _scores(strength: FloatArray, angle: FloatArray, trials: FloatArray) -> FloatArray:
    """Mean bend along each trial circle."""
    middle = (strength.shape[1] - 1) / 2.0
    column = (
        middle
        + trials[:, 2:3]
        + trials[:, 0:1] * np.cos(angle)[None, :]
        + trials[:, 1:2] * np.sin(angle)[None, :]
    )
    index = np.clip(np.rint(column).astype(np.intp), 0, strength.shape[1] - 1)
    return np.asarray(strength[np.arange(len(angle))[None, :], index].mean(axis=1))
