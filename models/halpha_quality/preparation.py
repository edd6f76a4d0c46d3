"""From a found disk to the flattened 128-cell square that the network reads (numpy and OpenCV).

Every instrument's frame becomes the same thing: a flat disk whose quiet Sun is 0, in units of the
disk's own brightness, on a square of +-1000 arcsec. Training and inference share this code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from observatory.robust import median
from observatory.sun import LimbFit, disk_radius_map, mu_of_radius

FloatArray = NDArray[np.floating]

#: Half side of the crop in solar radii: +-1000 arcsec of a Sun of 959.63 arcsec
#: (Jarolim et al. 2020, A&A 643, A72, section 3.1).
CROP_RADII = 1000.0 / 959.63
SIDE = 128
#: Beyond this the limb itself (its blur, its darkening) rules what a cell says.
DISK_EDGE = 0.975
#: Companding: 2 % is where the linear part ends and 100 % maps to 1, so that a cloud of 1 % and one of
#: 60 % are both well inside the network's range.
COMPAND_LINEAR = 0.02
COMPAND_SCALE = float(np.arcsinh(1.0 / COMPAND_LINEAR))
_RINGS = 24
_BAND_SIDE = 64


@dataclass(frozen=True)
class _Grid:
    """Fixed geometry of the analysis square at one size."""

    radius: FloatArray  # (side, side) in solar radii
    disk: NDArray[np.bool_]  # inside DISK_EDGE
    order: NDArray[np.intp]  # disk cells by radius, cut to a multiple of the rings
    solve: FloatArray  # ring medians -> coefficients of the cubic in mu
    powers: FloatArray  # (side*side, 4) powers of mu, to evaluate it
    slow: FloatArray  # (disk cells, 10) cubic polynomials in x and y
    slow_solve: FloatArray  # their pseudo-inverse


@lru_cache(maxsize=8)
def analysis_grid(side: int = SIDE) -> _Grid:
    """Geometry of a `side` x `side` square around a centred disk."""
    centre = (side - 1) / 2.0
    radius = disk_radius_map(side, side, centre, centre, side / (2.0 * CROP_RADII))
    disk = radius < DISK_EDGE
    cells = np.flatnonzero(disk)
    order = cells[np.argsort(radius.ravel()[cells], kind="stable")]
    order = order[: len(order) // _RINGS * _RINGS]
    ring_mu = mu_of_radius(np.median(radius.ravel()[order].reshape(_RINGS, -1), axis=1))
    powers = np.vander(mu_of_radius(radius).ravel(), 4).astype(np.float32)
    y, x = np.divmod(cells, side)
    x, y = (x - centre) / centre, (y - centre) / centre
    slow = np.stack([x**i * y**j for i in range(4) for j in range(4 - i)], axis=1).astype(np.float32)
    solve = np.linalg.pinv(np.vander(ring_mu, 4))
    return _Grid(radius, disk, order, solve, powers, slow, np.linalg.pinv(slow))


def crop_disk(
    plane: np.ndarray, fit: LimbFit, side: int = SIDE, halved: np.ndarray | None = None
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Cut and shrink the square of +-1000 arcsec around the disk.

    Large frames are first averaged by a whole number, then warped to twice the side with the disk
    exactly centred, then averaged to the side.

    Parameters
    ----------
    plane : ndarray, shape (height, width)
    fit : LimbFit
        Of `plane`.
    side : int
    halved : ndarray, shape (height // 2, width // 2), optional
        The plane averaged two by two, where somebody has it already.

    Returns
    -------
    square : ndarray, shape (side, side), float32
        In the frame's units; 0 outside the frame.
    seen : ndarray of bool, shape (side, side)
        Cells that lie inside the frame.
    """
    height, width = plane.shape
    half = fit.radius_px * CROP_RADII
    factor = max(1, int(2 * half / (2 * side)))
    factor -= factor % 2 if factor > 3 else 0  # so that it can be halved first
    x0 = max(0, int(fit.center_x_px - half) - factor) & ~1
    y0 = max(0, int(fit.center_y_px - half) - factor) & ~1
    columns = max(1, (min(width, int(fit.center_x_px + half) + 2 * factor) - x0) // factor)
    rows = max(1, (min(height, int(fit.center_y_px + half) + 2 * factor) - y0) // factor)
    small = _averaged(plane, halved, (x0, y0), (columns, rows), factor)
    scale = 2.0 * half / (2 * side) / factor  # reduced pixels per cell of the doubled square
    shift = np.array([fit.center_x_px - x0, fit.center_y_px - y0]) + 0.5
    origin = shift / factor - 0.5 - scale * (2 * side - 1) / 2.0
    matrix = np.array([[scale, 0.0, origin[0]], [0.0, scale, origin[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    doubled = cv2.warpAffine(small.astype(np.float32), matrix, (2 * side, 2 * side), flags=flags)
    square = cv2.resize(doubled, (side, side), interpolation=cv2.INTER_AREA)
    cell = 2.0 * half / side
    along = (np.arange(side) - (side - 1) / 2.0) * cell
    seen_x = (fit.center_x_px + along > 0) & (fit.center_x_px + along < width - 1)
    seen_y = (fit.center_y_px + along > 0) & (fit.center_y_px + along < height - 1)
    return square, seen_y[:, None] & seen_x[None, :]


def _averaged(
    plane: np.ndarray, halved: np.ndarray | None, start: tuple[int, int], size: tuple[int, int], factor: int
) -> np.ndarray:
    """Average a part by a whole number, an even one by halves first: OpenCV has that in vector code."""
    (x0, y0), (columns, rows) = start, size
    part = plane[y0 : y0 + rows * factor, x0 : x0 + columns * factor]
    if factor == 1:
        return part
    if factor % 2 == 0:
        half = factor // 2
        if halved is not None:
            part = halved[y0 // 2 : y0 // 2 + rows * half, x0 // 2 : x0 // 2 + columns * half]
        else:
            part = cv2.resize(part, (columns * half, rows * half), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA))


def flatten_square(square: FloatArray, usable: NDArray[np.bool_] | None = None) -> FloatArray:
    """Contrast of each cell against the quiet Sun at its distance from disk centre.

    The profile is the median of rings of equal area under a cubic in mu, so that neither
    filaments nor a cloud over less than half of a ring pull it.

    Returns
    -------
    ndarray, shape of `square`, float32
        y = brightness / profile - 1; 0 off the disk and where not `usable`.
    """
    grid = analysis_grid(square.shape[0])
    values = square.ravel()[grid.order]
    if usable is not None and not usable.ravel()[grid.order].all():
        values = np.where(usable.ravel()[grid.order], values, np.nan)
        rings = values.reshape(_RINGS, -1)
        middle = np.array([np.nanmedian(ring) if np.isfinite(ring).any() else np.nan for ring in rings])
        known = np.isfinite(middle)
        if known.sum() < 5:
            return np.zeros_like(square, dtype=np.float32)
        middle = np.interp(np.arange(_RINGS), np.flatnonzero(known), middle[known])
    else:
        middle = np.median(values.reshape(_RINGS, -1), axis=1)
    profile = (grid.powers @ (grid.solve @ middle).astype(np.float32)).reshape(square.shape)
    floor = max(1e-6, 0.02 * float(np.max(np.abs(middle))))
    contrast = square / np.maximum(profile, floor) - 1.0
    inside = grid.disk if usable is None else grid.disk & usable
    return np.where(inside, contrast, 0.0).astype(np.float32)


def remove_gradient(contrast: FloatArray, usable: NDArray[np.bool_] | None = None) -> FloatArray:
    """Divide by a robust cubic in x and y: the instrument's vignette, filter and flat-field errors.

    Such gradients reach ten per cent on good frames, stand still for years and are smoother than
    any cloud that shows structure. The fit is robust (pseudo-values, residuals cut at two
    deviations and at most 6 %, ignored beyond 35 %) so that a cloud or an occulting edge keeps
    most of its contrast.
    """
    grid = analysis_grid(contrast.shape[0])
    values = contrast[grid.disk]
    known = None if usable is None else usable[grid.disk]
    model = np.zeros_like(values)
    for _ in range(5):
        residual = values - model
        spread = min(1.4826 * median(np.abs(residual[::4])) + 1e-6, 0.03)
        pull = np.where(np.abs(residual) < 0.35, np.clip(residual, -2 * spread, 2 * spread), 0.0)
        if known is not None:
            pull = np.where(known, pull, 0.0)
        model = model + grid.slow @ (grid.slow_solve @ pull)
    out = np.zeros_like(contrast)
    out[grid.disk] = (1.0 + values) / np.maximum(1.0 + model, 0.05) - 1.0
    if usable is not None:
        out[~usable] = 0.0
    return out


def fine_contrast(contrast: FloatArray) -> float:
    """Robust rms of the structure finer than two cells, inside 0.9 solar radii.

    BBSO and GONG frames have 0.011 to 0.016, pictures whose contrast was raised four times that.
    """
    fine = contrast - cv2.GaussianBlur(contrast, (0, 0), 1.5)
    inside = analysis_grid(contrast.shape[0]).radius < 0.9
    return 1.4826 * median(np.abs(fine[inside][::3]))


#: Above this fine-structure contrast a picture was stretched by somebody, and is shrunk back to
#: what a narrow filter shows: percentages of light lost mean nothing in it.
RAISED_CONTRAST = 0.030
NATURAL_CONTRAST = 0.015


def normalise_contrast(contrast: FloatArray) -> tuple[FloatArray, float]:
    """Undo raised contrast; returns the contrast and the fine-structure contrast found."""
    fine = fine_contrast(contrast)
    if fine > RAISED_CONTRAST:
        contrast = contrast * np.float32(NATURAL_CONTRAST / fine)
    return contrast, fine


def prepare_contrast(square: FloatArray, usable: NDArray[np.bool_] | None = None) -> tuple[FloatArray, float]:
    """From a cropped square to the contrast that is judged, and its fine-structure contrast."""
    return normalise_contrast(remove_gradient(flatten_square(square, usable), usable))


def compand(contrast: FloatArray) -> FloatArray:
    """Map contrast to -1..1: asinh(y / 0.02) / asinh(50), clipped; -1 off the disk."""
    grid = analysis_grid(contrast.shape[-1])
    companded = np.arcsinh(contrast / COMPAND_LINEAR) / COMPAND_SCALE
    return np.where(grid.disk, np.clip(companded, -1.0, 1.0), -1.0).astype(np.float32)


@lru_cache(maxsize=4)
def _band_weights(side: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    disk = (analysis_grid(side).radius < 0.96).astype(np.float32)
    sigma = side / (2.0 * CROP_RADII) / 12.0
    fine = cv2.GaussianBlur(disk, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    wide = cv2.GaussianBlur(disk, (0, 0), 2 * sigma, borderType=cv2.BORDER_CONSTANT)
    return disk, np.maximum(fine, 1e-3), np.maximum(wide, 1e-3)


def cloud_band(contrast: FloatArray, clip: float | None = None) -> FloatArray:
    """Brightness structure between a twelfth and a sixth of the solar radius, on 64 x 64 cells.

    Clouds have most of their power at scales where the chromosphere has least: above the
    network and filaments, below the instrument's gradients.

    Parameters
    ----------
    contrast : ndarray, shape (128, 128)
    clip : float, optional
        Contrast beyond which cells are cut: plage and filaments are stronger than the clouds
        that are hard to see.
    """
    small = cv2.resize(contrast, (_BAND_SIDE, _BAND_SIDE), interpolation=cv2.INTER_AREA)
    if clip is not None:
        small = np.clip(small, -clip, clip)
    disk, fine, wide = _band_weights(_BAND_SIDE)
    sigma = _BAND_SIDE / (2.0 * CROP_RADII) / 12.0
    small = small * disk
    low = cv2.GaussianBlur(small, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT) / fine
    lower = cv2.GaussianBlur(small, (0, 0), 2 * sigma, borderType=cv2.BORDER_CONSTANT) / wide
    return (low - lower) * disk


def band_rms(contrast: FloatArray) -> float:
    """Rms of `cloud_band` inside 0.96 solar radii."""
    band = cloud_band(contrast)
    return float(band[analysis_grid(band.shape[0]).radius < 0.96].std())


#: From a cropped square (brightness, usable cells) to the network's input in -1..1.
Preparation = Callable[[FloatArray, NDArray[np.bool_] | None], FloatArray]


def prepare_flattened(square: FloatArray, usable: NDArray[np.bool_] | None = None) -> FloatArray:
    """Ours: contrast against the quiet Sun, gradient removed, companded."""
    return compand(prepare_contrast(square, usable)[0])


def prepare_contrast_normalised(square: FloatArray, usable: NDArray[np.bool_] | None = None) -> FloatArray:
    """SIQA's own: (x - median) / deviation, clipped at +-1.5, divided by 1.5 (section 3.1)."""
    values = square if usable is None else np.where(usable, square, np.median(square[usable]))
    scaled = (values - np.median(values)) / (np.std(values) + 1e-6)
    return (np.clip(scaled, -1.5, 1.5) / 1.5).astype(np.float32)


def prepare_image(square: FloatArray, usable: NDArray[np.bool_] | None = None) -> FloatArray:
    """Linear from the smallest to the largest value."""
    low, high = float(square.min()), float(square.max())
    return ((square - low) * (2.0 / max(high - low, 1e-6)) - 1.0).astype(np.float32)


def prepare_peak(square: FloatArray, usable: NDArray[np.bool_] | None = None) -> FloatArray:
    """Divided by the 99.5th percentile of the disk: keeps zero at -1."""
    peak = float(np.percentile(square[analysis_grid(square.shape[0]).disk], 99.5))
    return np.clip(square * (2.0 / max(peak, 1e-6)) - 1.0, -1.0, 1.0).astype(np.float32)


#: Add your own here, before training and wherever the network is used: the manifest keeps its name.
PREPARATIONS: dict[str, Preparation] = {
    "flattened": prepare_flattened,
    "contrast": prepare_contrast_normalised,
    "image": prepare_image,
    "peak": prepare_peak,
}
