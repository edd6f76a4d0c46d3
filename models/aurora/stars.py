"""Where stars are missing: a second look at the map of cloud, for pictures that are large and deep enough.

The network sees the sky on 128 × 128 cells, where the faint stars of a moonlit sky drown. Counted in the picture
itself they tell of cloud what its light does not: a sheet of ice that takes a magnitude takes two stars in three
(counts of stars grow as 10 to the half magnitude). How many there would be without cloud, the starriest parts of
the same picture tell; so no camera, exposure or catalogue needs to be known. A logistic regression puts together
what the network says of a cell, how many stars are expected there and how many are found. It is fitted to
simulated skies (`stars_training.py`), and its coefficients stand in the manifest; where few stars are seen at
all, the network is taken at its word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from models.aurora.preparation import GRID, as_plain, geometry_of, without_hot_pixels
from observatory.fisheye import Fisheye
from observatory.frame import Frame

FloatArray = NDArray[np.floating]

LEAST_RADIUS_PX = 150.0
"""Of the sky's circle in the picture that is analysed: in smaller ones stars run into each other."""
LEAST_STARS = 30
"""Of a sky: fewer tell nothing."""
TERMS = ("bias", "logit", "expected", "ratio", "ratio_expected", "logit_expected")

_STAR, _AROUND_STAR = ((7, 7), 0.9), (9, 9)  # px, of the blur and of the mean whose difference shows points
_BLOCK = 16  # px, within which the noise is one
_LEAST_NOISE = 0.12  # counts, of pictures in whole numbers
_OVER_NOISE = 5.0  # what is brighter is a point
_RING, _OVER_RING = 1.5, 0.6  # times the ring's brightest pixel, and beyond it so much of what a point needs
_REACH = 4  # px, to the outer of the two rings about a star
_WING = 0.15  # of a star's light, in its brightest neighbour; a hot pixel has none
_NOISE_RANGE = (-0.7, 4.0)  # logarithms about the sky's median
_MOST_AIRMASS, _LOWEST_DEG, _REFERENCE_DEG = 6.0, 79.0, 68.0
_CELLS = 1.0  # cells over which stars are counted together (standard deviation)
_STARRIEST = 0.8  # quantile of found over expected that stands for a sky without cloud
_LEAST_EXPECTED, _LEAST_CELLS = 0.3, 8
_SURE = 6.9  # logit: 0.1 and 99.9 %


@dataclass(frozen=True)
class Counted:
    """Stars of one picture, on the cells of the cloud map.

    Attributes
    ----------
    found : ndarray, shape (16, 16)
        Stars in each cell.
    noise : ndarray, shape (16, 16)
        Natural logarithm of what points have to stand out from, less its median over the sky.
    """

    found: FloatArray
    noise: FloatArray


@dataclass(frozen=True)
class Compared:
    """Stars found about each cell, and how many the starriest parts of the sky let expect there, (16, 16) each."""

    found: FloatArray
    expected: FloatArray


@dataclass(frozen=True)
class StarLook:
    """The second look.

    Attributes
    ----------
    noise, airmass : float
        By which power of the noise, and exponentially with which airmass, stars grow fewer in a clear sky.
    weights : mapping of str to float
        One for each of `TERMS`.
    """

    noise: float
    airmass: float
    weights: Mapping[str, float]

    @classmethod
    def from_dict(cls, stated: Mapping[str, float]) -> StarLook:
        """From a manifest."""
        weights = {name: float(stated[name]) for name in TERMS}
        return cls(float(stated["noise"]), float(stated["airmass"]), weights)

    def to_dict(self) -> dict[str, float]:
        """For a manifest."""
        return {"noise": self.noise, "airmass": self.airmass, **self.weights}

    def refined(
        self, cloud: FloatArray, frame: Frame, circle: Fisheye, visible: FloatArray
    ) -> NDArray[np.float32]:
        """The map of cloud (16, 16), 0 to 1, with what the frame's stars say of it.

        Parameters
        ----------
        cloud : ndarray, shape (16, 16)
            What the network says.
        frame : Frame
            At the size of the analysis.
        circle : Fisheye
            Of the sky, in its pixels.
        visible : ndarray, shape (16, 16)
            Known share of each cell, 0 to 1.

        Returns
        -------
        ndarray
            The same map where the picture is small, of 8 bits, or holds too few stars.
        """
        plain = cloud.astype(np.float32)
        if not can_be_counted(frame, circle):
            return plain
        compared = compare(count(frame, circle), visible, self.noise, self.airmass)
        return plain if compared is None else self.judged(plain, visible, compared)

    def judged(self, cloud: FloatArray, visible: FloatArray, compared: Compared) -> NDArray[np.float32]:
        """The map (16, 16) with what a comparison of stars says of it; as it is low over the horizon."""
        log_odds = np.full(cloud.shape, self.weights["bias"])
        for name, plane in terms(cloud, compared).items():
            log_odds += self.weights[name] * plane
        found = 1.0 / (1.0 + np.exp(-np.clip(log_odds, -30, 30)))
        return np.where(_sky().share * visible > 0, found, cloud).astype(np.float32)


@dataclass(frozen=True)
class _Cells:
    """The cells of the cloud map: sky in each (1 about the zenith, 0 low), and where they look; (16, 16) each."""

    share: FloatArray
    zenith_deg: FloatArray
    airmass: FloatArray


@lru_cache(maxsize=1)
def _sky() -> _Cells:
    zenith, _ = geometry_of(Fisheye(0.0, 0.0, 1.0), GRID).directions((GRID, GRID))
    height = np.cos(np.radians(np.clip(zenith, 0.0, _LOWEST_DEG + 1.0)))
    share = np.where(zenith < _LOWEST_DEG, np.sinc(zenith / 180.0), 0.0)
    return _Cells(share, zenith, np.minimum(1.0 / height, _MOST_AIRMASS))


def zenith_deg() -> FloatArray:
    """Zenith distance of the cells, (16, 16)."""
    return _sky().zenith_deg


def can_be_counted(frame: Frame, circle: Fisheye) -> bool:
    """Whether a picture is large enough to count its stars, and has more than 8 bits.

    Of 8 bits faint stars are lost, and JPEG makes blobs of hot pixels that cannot be told from stars.
    """
    radius = circle.radius_px * min(1.0, circle.aspect)
    return bool(frame.pixels.dtype.itemsize > 1 and radius >= LEAST_RADIUS_PX)


def count(frame: Frame, circle: Fisheye) -> Counted:
    """Count the stars in each cell of the cloud map.

    A star is brighter by five times the noise than what is about it, and also stands out from the brightest
    pixel three and four pixels off: so edges, trails and the rims of domes are none. Its neighbours hold some of
    its light: so hot pixels are none.
    """
    plain = without_hot_pixels(as_plain(frame.pixels))
    light = plain.astype(np.float32)
    if light.ndim == 3:
        light = cv2.cvtColor(light, cv2.COLOR_RGB2GRAY)
    if plain.dtype.kind == "f":
        light = np.nan_to_num(light)
    apart = cv2.GaussianBlur(light, *_STAR)
    apart -= cv2.blur(light, _AROUND_STAR)
    noise = _noise(apart, _LEAST_NOISE if plain.dtype.kind in "iu" else 0.0)
    x, y = _points(light, apart, noise)
    if frame.sky_mask is not None:
        is_seen = frame.sky_mask[y, x]
        x, y = x[is_seen], y[is_seen]
    zenith, azimuth = circle.direction(x.astype(float), y.astype(float))
    is_high = np.nan_to_num(zenith, nan=np.inf) < 90.0
    column, row = geometry_of(circle, GRID).pixel(zenith[is_high], azimuth[is_high])
    cell = (np.clip(np.round(row), 0, GRID - 1) * GRID + np.clip(np.round(column), 0, GRID - 1)).astype(
        np.intp
    )
    found = np.bincount(cell, minlength=GRID * GRID).reshape(GRID, GRID).astype(float)
    return Counted(found, _on_cells(noise, circle))


def _points(
    light: NDArray[np.float32], apart: NDArray[np.float32], noise: NDArray[np.float32]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Columns and rows of the stars; those at the picture's edge are left out."""
    least = np.maximum(np.float32(_OVER_NOISE) * noise, np.float32(1e-30))
    least = cv2.resize(least, apart.shape[::-1], interpolation=cv2.INTER_LINEAR)
    is_peak = apart >= cv2.dilate(apart, np.ones((3, 3), np.uint8))
    is_peak &= apart > least
    width, edge = apart.shape[1], _REACH + 1
    places = cv2.findNonZero(is_peak[edge:-edge, edge:-edge].view(np.uint8))
    if places is None:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    x, y = places.reshape(-1, 2).astype(np.intp).T + edge
    flat, height = y * width + x, apart.ravel()
    nearest, ring = _offsets(1, 0, width), _offsets(_REACH, _REACH - 2, width)
    about = np.maximum(height.take(flat[:, None] + ring).max(axis=1), 0.0)
    is_alone = height[flat] - _RING * about > _OVER_RING * least.ravel()[flat]
    x, y, flat = x[is_alone], y[is_alone], flat[is_alone]
    base = np.median(light.take(flat[:, None] + ring), axis=1)
    wing = light.take(flat[:, None] + nearest).max(axis=1) - base
    is_wide = wing >= _WING * (light.ravel()[flat] - base)
    return x[is_wide], y[is_wide]


def _offsets(reach: int, beyond: int, width: int) -> NDArray[np.intp]:
    """Flat steps to all pixels within a square of `reach` that lie outside the one of `beyond`."""
    steps = np.arange(-reach, reach + 1)
    down, right = np.meshgrid(steps, steps, indexing="ij")
    is_outside = np.maximum(np.abs(down), np.abs(right)) > beyond
    return np.asarray(down[is_outside] * width + right[is_outside], np.intp)


def _noise(apart: NDArray[np.float32], least: float) -> NDArray[np.float32]:
    """Standard deviation within each block, from the median of the sizes: stars do not raise it."""
    rows, columns = apart.shape[0] // _BLOCK, apart.shape[1] // _BLOCK
    blocks = np.abs(apart[: rows * _BLOCK, : columns * _BLOCK]).reshape(rows, _BLOCK, columns, _BLOCK)
    some = blocks[:, ::2, :, ::2].transpose(0, 2, 1, 3).reshape(rows, columns, -1)
    middle = some.shape[2] // 2
    medians = np.partition(some, middle, axis=2)[..., middle]
    return np.maximum(cv2.medianBlur(np.float32(1.4826) * medians, 3), np.float32(least))


def _on_cells(noise: NDArray[np.float32], circle: Fisheye) -> FloatArray:
    """Logarithm of the noise at each cell, less its median over the high sky."""
    cells = _sky()
    seen = geometry_of(circle, GRID)
    rows, columns = np.mgrid[0:GRID, 0:GRID]
    x, y = circle.pixel(*seen.direction(columns, rows))
    at = cv2.remap(
        noise,
        ((x + 0.5) / _BLOCK - 0.5).astype(np.float32),
        ((y + 0.5) / _BLOCK - 0.5).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    logarithm = np.log(np.maximum(at, 1e-6))
    return np.asarray(logarithm - np.median(logarithm[cells.zenith_deg < _REFERENCE_DEG]))


def clear_sky(counted: Counted, visible: FloatArray, noise: float, airmass: float) -> FloatArray:
    """How a sky without cloud spreads its stars over the cells, (16, 16), in any unit."""
    cells = _sky()
    dimmed = noise * np.clip(counted.noise, *_NOISE_RANGE) + airmass * (cells.airmass - 1.0)
    return np.asarray(cells.share * visible * np.exp(dimmed))


def compare(counted: Counted, visible: FloatArray, noise: float, airmass: float) -> Compared | None:
    """Stars about each cell, found and expected; None where the sky shows too few to tell."""
    cells = _sky()
    spread = clear_sky(counted, visible, noise, airmass)
    seen = np.where(spread > 0, counted.found, 0.0)
    found, expected = _together(seen), _together(spread)
    is_high = (spread > 0) & (cells.zenith_deg < _REFERENCE_DEG) & (expected > _LEAST_EXPECTED)
    if is_high.sum() < _LEAST_CELLS or seen.sum() < LEAST_STARS:
        return None
    expected = expected * np.quantile(found[is_high] / expected[is_high], _STARRIEST)
    return Compared(found, expected)


def _together(values: FloatArray) -> FloatArray:
    """Sums over some cells, the nearer the more; a cell itself counts once."""
    line = cv2.getGaussianKernel(7, _CELLS)
    line = line / line.max()
    return np.asarray(cv2.sepFilter2D(values, cv2.CV_64F, line, line, borderType=cv2.BORDER_CONSTANT))


def terms(cloud: FloatArray, compared: Compared) -> dict[str, FloatArray]:
    """Planes (16, 16) that the regression weighs, by name; its bias left out."""
    inner = np.clip(cloud.astype(np.float64), 1e-6, 1.0 - 1e-6)
    logit = np.clip(np.log(inner / (1.0 - inner)), -_SURE, _SURE)
    expected = np.log1p(compared.expected)
    ratio = np.log1p(compared.found) - expected
    planes = (logit, expected, ratio, ratio * expected, logit * expected)
    return dict(zip(TERMS[1:], planes, strict=True))
