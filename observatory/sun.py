"""Where the Sun's disk lies in a picture, and how bright it ought to be from centre to limb.

The limb is found without converting the picture: a strided copy gives a first circle, then rays
are sampled across the limb on the full-resolution array and the steepest gradient of each is
located to a fraction of a pixel. Pixels are 0-based with centres at integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from observatory.frame import Pointing
from observatory.robust import median, quantile

FloatArray = NDArray[np.floating]

#: Continuum limb darkening at 656 nm, quadratic law: Cox (ed.) 2000, Allen's Astrophysical
#: Quantities, 4th ed., section 14.7, (u2, v2) interpolated between 600 nm (0.88, -0.23) and
#: 800 nm (0.73, -0.22).
LIMB_DARKENING_656NM = (0.84, -0.23)

_COARSE_SIDE_PX = 256  # enough to find any disk wider than a tenth of the picture
_RAYS = 256
_ROUNDS = ((0.045, 96), (0.028, _RAYS))  # half width in solar radii, and number, of rays
_MIN_RADIUS_PX = 12.0
_FARTHEST = 100.0  # of the picture's side: a circle further out or larger has no limb to show
_MIN_ACCEPTED = 0.3  # share of in-frame rays that must agree on one circle
_MIN_EDGE_CONTRAST = 0.12  # a limb drops by more than this share of the disk's level
_CLOUD_EDGE_TOLERANCE = 0.012  # of the radius: coarse contour points on the same circle


@dataclass(frozen=True)
class LimbFit:
    """A circle fitted to the solar limb.

    Attributes
    ----------
    center_x_px, center_y_px, radius_px : float
        The circle, in 0-based pixels of the array that was given.
    rms_px : float
        Scatter of the accepted rays about the circle.
    fraction_accepted : float
        Share of the in-frame rays that lie on the circle, 0 to 1.
    fraction_in_frame : float
        Share of all rays that cross the limb inside the picture, 0 to 1.
    width_px : float
        Median 10-90 % width of the limb.
    width_anisotropy : float
        Amplitude of the twofold variation of the width with position angle, divided by the
        mean width: 0 for an even blur, towards 1 for motion along one direction.
    jitter_px : float
        Scatter of the limb from ray to neighbouring ray (slow distortions cancel).
    """

    center_x_px: float
    center_y_px: float
    radius_px: float
    rms_px: float
    fraction_accepted: float
    fraction_in_frame: float
    width_px: float
    width_anisotropy: float
    jitter_px: float

    def to_pointing(self, rsun_arcsec: float = 959.63, roll_deg: float | None = None) -> Pointing:
        """Return the fit as a `Pointing` with source ``limb``."""
        return Pointing(
            self.center_x_px, self.center_y_px, self.radius_px, rsun_arcsec, roll_deg, source="limb"
        )

    def cut_off_fraction(self, height: int, width: int) -> float:
        """Share of the disk's diameter that lies outside the picture on its worst side, 0 to 1."""
        beyond = max(
            self.radius_px - self.center_x_px - 0.5,
            self.radius_px - self.center_y_px - 0.5,
            self.center_x_px + self.radius_px - width + 0.5,
            self.center_y_px + self.radius_px - height + 0.5,
        )
        return float(np.clip(beyond / (2.0 * self.radius_px), 0.0, 1.0))


@dataclass(frozen=True)
class PointingDisagreement:
    """How far a fitted limb lies from what the header says.

    Attributes
    ----------
    offset_px : float
        Distance between the two centres.
    offset_fraction : float
        The same as a share of the fitted radius.
    radius_ratio : float
        Header radius divided by fitted radius.
    """

    offset_px: float
    offset_fraction: float
    radius_ratio: float


def compare_pointing(fit: LimbFit, header: Pointing) -> PointingDisagreement:
    """Compare a fitted limb with a header's pointing."""
    offset = float(np.hypot(fit.center_x_px - header.center_x_px, fit.center_y_px - header.center_y_px))
    return PointingDisagreement(offset, offset / fit.radius_px, header.radius_px / fit.radius_px)


def single_plane(pixels: np.ndarray) -> np.ndarray:
    """Return a 2-D native-endian view or copy that OpenCV can sample.

    Of a colour picture the plane of the largest contrast is taken: H-alpha pictures are often
    coloured, and a saturated or an empty plane has no contrast.
    """
    if pixels.ndim == 3:
        coarse = pixels[::8, ::8].reshape(-1, pixels.shape[2]).astype(np.float32)
        pixels = pixels[..., int(np.argmax(np.nan_to_num(np.nanstd(coarse[:, :3], axis=0))))]
    if pixels.dtype in (np.uint8, np.int16, np.uint16, np.float32) and pixels.dtype.isnative:
        return pixels
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8)
    if pixels.dtype.kind in "iu" and pixels.dtype.itemsize <= 2:
        return pixels.astype(np.int16 if pixels.dtype.kind == "i" else np.uint16)
    return pixels.astype(np.float32)


def fit_limb(pixels: np.ndarray, guess: Pointing | None = None) -> LimbFit | None:
    """Fit the solar limb to a fraction of a pixel.

    Parameters
    ----------
    pixels : ndarray, shape (height, width) or (height, width, 3)
        Any number type; NaN counts as darkness.
    guess : Pointing, optional
        Where to look first, such as the header's pointing; when no limb is found there, the
        picture itself is searched.

    Returns
    -------
    LimbFit or None
        None when there is no disk: an empty, black, white or featureless picture, one of
        something else than the Sun, or a disk under a cloud too thick to show its limb.
    """
    if pixels.ndim not in (2, 3) or min(pixels.shape[:2]) < 2 * _MIN_RADIUS_PX:
        return None
    plane = single_plane(pixels)
    if guess is not None:
        stated = (guess.center_x_px, guess.center_y_px, guess.radius_px)
        near = _refine(plane, stated, _ROUNDS[1:])
        if near is not None and near.fraction_accepted > 0.9 and _is_near(near, stated):
            return near  # a good header's circle need not be searched for
        fit = _refine(plane, stated)
        if fit is not None and fit.fraction_accepted > 0.7:
            return fit
    circle = _coarse_circle(plane)
    fit = None if circle is None else _refine(plane, circle)
    return _fit_averaged(plane) if fit is None and min(plane.shape) >= 512 else fit


def limb_darkening(mu: FloatArray, coefficients: tuple[float, float] = LIMB_DARKENING_656NM) -> FloatArray:
    """Brightness relative to disk centre, I/I0 = 1 - u - v + u mu + v mu^2 (Allen, section 14.7).

    Parameters
    ----------
    mu : ndarray
        Cosine of the heliocentric angle, 0 at the limb to 1 at disk centre.
    coefficients : tuple (u, v)
    """
    u, v = coefficients
    return 1.0 - u - v + mu * (u + v * mu)


def mu_of_radius(radius: FloatArray) -> FloatArray:
    """Cosine of the heliocentric angle at `radius` (1 at the limb); 0 outside the disk."""
    return np.sqrt(np.clip(1.0 - np.square(radius), 0.0, None))


def disk_radius_map(height: int, width: int, center_x: float, center_y: float, radius: float) -> FloatArray:
    """Distance of every pixel from the disk's centre in solar radii, float32 (height, width)."""
    x = ((np.arange(width, dtype=np.float32) - center_x) / radius) ** 2
    y = ((np.arange(height, dtype=np.float32) - center_y) / radius) ** 2
    return np.sqrt(y[:, None] + x[None, :], dtype=np.float32)


def _fit_averaged(plane: np.ndarray) -> LimbFit | None:
    """Second try on four by four pixels averaged: a faint disk in noise shows its limb there."""
    factor = 4
    height, width = plane.shape[0] // factor, plane.shape[1] // factor
    part = np.nan_to_num(plane[: height * factor, : width * factor].astype(np.float32))
    small = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
    circle = _coarse_circle(small)
    fit = None if circle is None else _refine(small, circle)
    if fit is None:
        return None
    middle = (factor - 1) / 2.0
    return replace(
        fit,
        center_x_px=fit.center_x_px * factor + middle,
        center_y_px=fit.center_y_px * factor + middle,
        radius_px=fit.radius_px * factor,
        rms_px=fit.rms_px * factor,
        width_px=fit.width_px * factor,
        jitter_px=fit.jitter_px * factor,
    )


def _coarse_circle(plane: np.ndarray) -> tuple[float, float, float] | None:
    """First circle, good to a coarse pixel, from the outline of the largest bright object."""
    step = max(1, min(plane.shape) // _COARSE_SIDE_PX)
    start = step // 2
    small = np.nan_to_num(plane[start::step, start::step].astype(np.float32), posinf=0.0, neginf=0.0)
    small = cv2.medianBlur(small, 3)  # spikes and dead pixels
    low, high = quantile(small, 0.005), quantile(small, 0.99)
    if not high > low:
        return None
    scaled = np.clip((small - low) * (255.0 / (high - low)), 0, 255).astype(np.uint8)
    _, mask = cv2.threshold(scaled, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return None
    outline = max(contours, key=cv2.contourArea)[:, 0, :].astype(np.float64)
    # Where the outline runs along the picture's edge it is no limb.
    height, width = small.shape
    inside = (
        (outline[:, 0] > 1) & (outline[:, 1] > 1) & (outline[:, 0] < width - 2) & (outline[:, 1] < height - 2)
    )
    circle = _consensus_circle(outline[inside], min(height, width))
    if circle is None:
        return None
    x, y, radius = circle
    # The outline's pixels are the outermost bright ones: the limb lies half a pixel further out.
    return x * step + start, y * step + start, (radius + 0.5) * step


def _consensus_circle(points: FloatArray, side: int) -> tuple[float, float, float] | None:
    """The circle through most of the points (random triples, then least squares on its points)."""
    if len(points) < 12:
        return None
    random = np.random.default_rng(0)
    a, b, c = (points[random.integers(0, len(points), 160)] for _ in range(3))
    # Circumcentre of each triple.
    d = 2.0 * (a[:, 0] * (b[:, 1] - c[:, 1]) + b[:, 0] * (c[:, 1] - a[:, 1]) + c[:, 0] * (a[:, 1] - b[:, 1]))
    good = np.abs(d) > 0.02 * side * side  # triples nearly in line say little
    if not good.any():
        return None
    a, b, c, d = a[good], b[good], c[good], d[good]
    a2, b2, c2 = (np.square(p).sum(axis=1) for p in (a, b, c))
    x = (a2 * (b[:, 1] - c[:, 1]) + b2 * (c[:, 1] - a[:, 1]) + c2 * (a[:, 1] - b[:, 1])) / d
    y = (a2 * (c[:, 0] - b[:, 0]) + b2 * (a[:, 0] - c[:, 0]) + c2 * (b[:, 0] - a[:, 0])) / d
    radius = np.hypot(a[:, 0] - x, a[:, 1] - y)
    thinned = points[:: max(1, len(points) // 256)]
    distance = np.hypot(thinned[:, 0] - x[:, None], thinned[:, 1] - y[:, None])
    tolerance = np.maximum(1.0, _CLOUD_EDGE_TOLERANCE * radius)
    votes = (np.abs(distance - radius[:, None]) < tolerance[:, None]).mean(axis=1)
    votes[(radius < _MIN_RADIUS_PX / 2) | (radius > 2 * side)] = 0.0
    best = int(np.argmax(votes))
    if votes[best] < 0.25:
        return None
    on_it = np.abs(np.hypot(points[:, 0] - x[best], points[:, 1] - y[best]) - radius[best]) < tolerance[best]
    chosen = points[on_it]
    # Kasa's algebraic fit: x^2 + y^2 = 2 x xc + 2 y yc + (r^2 - xc^2 - yc^2).
    matrix = np.column_stack([2 * chosen, np.ones(len(chosen))])
    solution, *_ = np.linalg.lstsq(matrix, np.square(chosen).sum(axis=1), rcond=None)
    square = solution[2] + solution[0] ** 2 + solution[1] ** 2
    return (float(solution[0]), float(solution[1]), float(np.sqrt(square))) if square > 0 else None


@dataclass(frozen=True)
class _Rays:
    """What the rays across the limb found: position angle, radius and 10-90 % width of the edge."""

    angle: FloatArray
    radius: FloatArray
    width: FloatArray
    fraction_in_frame: float
    fraction_with_edge: float


def _is_near(fit: LimbFit, circle: tuple[float, float, float]) -> bool:
    """Whether a circle was so near that narrow rays saw all of the limb's fall."""
    apart = np.hypot(fit.center_x_px - circle[0], fit.center_y_px - circle[1]) + abs(
        fit.radius_px - circle[2]
    )
    return bool(apart < 0.008 * fit.radius_px)


def _refine(
    plane: np.ndarray, circle: tuple[float, float, float], rounds: Sequence[tuple[float, int]] = _ROUNDS
) -> LimbFit | None:
    """Two rounds of rays: a wide one to settle the circle, a narrow one to measure."""
    rays: _Rays | None = None
    for half_width, count in rounds:
        if not (np.isfinite(circle).all() and circle[2] >= _MIN_RADIUS_PX):
            return None
        if max(map(abs, circle)) > _FARTHEST * max(plane.shape):
            return None
        rays = _sample_limb(plane, circle, half_width, count)
        if rays is None:
            return None
        circle, accepted, residual = _fit_rays(rays, circle)
    assert rays is not None  # for the type checker: the loop has run
    share = float(accepted.mean()) * rays.fraction_with_edge
    if share < _MIN_ACCEPTED or accepted.sum() < 24:
        return None
    width = rays.width[accepted]
    neighbours = np.diff(residual[accepted])
    return LimbFit(
        center_x_px=circle[0],
        center_y_px=circle[1],
        radius_px=circle[2],
        rms_px=float(np.sqrt(np.mean(np.square(residual[accepted])))),
        fraction_accepted=share,
        fraction_in_frame=rays.fraction_in_frame,
        width_px=median(width),
        width_anisotropy=_anisotropy(rays.angle[accepted], width),
        jitter_px=float(np.sqrt(np.mean(np.square(neighbours)) / 2.0)),
    )


@lru_cache(maxsize=4)
def _directions(count: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Position angles, evenly spaced, with their cosines and sines."""
    angle = np.arange(count, dtype=np.float32) * np.float32(2 * np.pi / count)
    return angle, np.cos(angle), np.sin(angle)


def _sample_limb(
    plane: np.ndarray, circle: tuple[float, float, float], half_width: float, count: int
) -> _Rays | None:
    """Sample `count` rays across the limb and locate the steepest fall of each."""
    x0, y0, radius = circle
    reach = max(4.0, half_width * radius)
    step = max(0.5, reach / 40.0)
    offset = np.arange(-reach, reach + step / 2, step, dtype=np.float32)
    angle, cosine, sine = _directions(count)
    x = np.float32(x0) + cosine[:, None] * (np.float32(radius) + offset)
    y = np.float32(y0) + sine[:, None] * (np.float32(radius) + offset)
    height, width = plane.shape
    ends = [len(offset) // 4, len(offset) - len(offset) // 4 - 1]  # a ray is straight: its ends tell
    end_x, end_y = x[:, ends], y[:, ends]
    seen = ((end_x >= 0) & (end_x <= width - 1) & (end_y >= 0) & (end_y <= height - 1)).all(axis=1)
    if seen.sum() < 24:
        return None
    if not seen.all():
        angle, x, y = angle[seen], x[seen], y[seen]
    values = cv2.remap(plane, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    if plane.dtype.kind == "f":
        values = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    profile = cv2.GaussianBlur(values, (0, 0), sigmaX=1.2, sigmaY=0.01)
    return _edges(profile, offset, angle, radius, float(seen.mean()))


def _edges(
    profile: FloatArray, offset: FloatArray, angle: FloatArray, radius: float, in_frame: float
) -> _Rays | None:
    """Sub-pixel place and width of the steepest fall along each profile."""
    step = float(offset[1] - offset[0])
    slope = (profile[:, :-2] - profile[:, 2:]) / (2 * step)  # positive: outwards darker
    peak = np.argmax(slope[:, 1:-1], axis=1) + 1
    row = np.arange(len(slope))
    left, top, right = slope[row, peak - 1], slope[row, peak], slope[row, peak + 1]
    curvature = left - 2 * top + right
    shift = np.where(curvature < 0, 0.5 * (left - right) / np.where(curvature < 0, curvature, -1), 0.0)
    edge = radius + offset[1:-1][peak] + np.clip(shift, -1, 1) * step
    inner = profile[:, : max(2, len(offset) // 8)].mean(axis=1)
    outer = profile[:, -max(2, len(offset) // 8) :].mean(axis=1)
    depth = inner - outer
    level = median(inner)
    real = (depth > _MIN_EDGE_CONTRAST * abs(level)) & (top > 0) & (level > 0)
    if real.sum() < 24:
        return None
    # For a Gaussian-blurred step of depth A the 10-90 % width is 2.563 sigma and the steepest
    # slope A / (sigma sqrt(2 pi)), so width = 1.0225 A / slope: steadier than two crossings.
    width = 1.0225 * depth[real] / top[real]
    return _Rays(angle[real], edge[real], width, in_frame, float(real.mean()))


def _fit_rays(
    rays: _Rays, circle: tuple[float, float, float]
) -> tuple[tuple[float, float, float], NDArray[np.bool_], FloatArray]:
    """Least-squares circle through the edges with outliers trimmed; also who was kept."""
    px = circle[0] + rays.radius * np.cos(rays.angle)
    py = circle[1] + rays.radius * np.sin(rays.angle)
    x, y, radius = circle
    residual = rays.radius - radius
    accepted = np.ones(len(px), dtype=bool)
    for _ in range(8):
        distance = np.hypot(px - x, py - y)
        cosine, sine = (px - x) / distance, (py - y) / distance
        matrix = np.column_stack([cosine, sine, np.ones_like(cosine)])
        middle = median(distance - radius)
        spread = 1.4826 * median(np.abs(distance - radius - middle))
        accepted = np.abs(distance - radius - middle) < max(0.3, 3.0 * spread)
        correction, *_ = np.linalg.lstsq(matrix[accepted], (distance - radius)[accepted], rcond=None)
        x, y, radius = x + correction[0], y + correction[1], radius + correction[2]
        residual = np.hypot(px - x, py - y) - radius
        if np.abs(correction).max() < 1e-3:
            break
    return (float(x), float(y), float(radius)), accepted, residual


def _anisotropy(angle: FloatArray, width: FloatArray) -> float:
    """Amplitude of the cos(2 angle) term of the width divided by its mean."""
    matrix = np.column_stack([np.ones_like(angle), np.cos(2 * angle), np.sin(2 * angle)])
    limited = np.minimum(width, 3 * median(width))
    solution, *_ = np.linalg.lstsq(matrix, limited, rcond=None)
    return float(np.hypot(solution[1], solution[2]) / max(solution[0], 1e-6))
