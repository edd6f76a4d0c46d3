"""A simulated Sun in H-alpha: full disks of any size, the same Sun from frame to frame.

The chromosphere is one texture in heliographic coordinates (network, fibrils, plage, sunspots,
filaments) that rotates under a telescope with limb darkening, seeing, scattered
light, an instrument gradient and noise. It is meant to train and to test, not to model the
chromosphere: contrasts and sizes are set to those measured on BBSO, GONG and Kanzelhoehe frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from models.simulate.degrade import fractal_field
from observatory.frame import Pointing
from observatory.sun import mu_of_radius

FloatArray = NDArray[np.floating]

#: The texture turns as a whole, once in a synodic Carrington rotation of 27.2753 days (Carrington
#: 1863). Differential rotation would shear a texture that never renews itself into stripes.
ROTATION_DEG_PER_DAY = 360.0 / 27.2753
_EPOCH = datetime(2019, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class HalphaTelescope:
    """What stands between the Sun and the picture.

    Attributes
    ----------
    size_px : int
        Side of the square frame.
    radius_px : float or None
        Disk radius; None for 0.455 of the side (Kanzelhoehe's 932 of 2048).
    center_offset_px : tuple (x, y)
        Disk centre less the frame's centre.
    roll_deg : float
        Solar north from the picture's up, counter-clockwise (row 0 at the bottom).
    contrast : float
        Factor on the chromosphere's contrast; 1 is a narrow filter (BBSO), 0.35 a wide one.
    seeing_px : float
        Gaussian sigma of the long-exposure blur.
    gradient : float
        Largest deviation of the smooth instrument gradient (flat-field error, vignette).
    flat_residual : float
        Rms of what the flat field leaves behind at all scales (filter, dust, fringes).
    scattered : float
        Share of the light in the broad halo.
    limb_u, limb_v : float
        Quadratic limb darkening in the filter's band.
    peak_counts, bias_counts, read_noise_counts, gain_e_per_count : float
        Camera: level at disk centre, offset, read noise, electrons per count.
    full_scale : int
        Largest count the camera writes.
    """

    size_px: int = 2048
    radius_px: float | None = None
    center_offset_px: tuple[float, float] = (0.0, 0.0)
    roll_deg: float = 0.0
    contrast: float = 1.0
    seeing_px: float | None = None
    gradient: float = 0.03
    flat_residual: float = 0.0005
    scattered: float = 0.015
    limb_u: float = 0.62
    limb_v: float = -0.12
    peak_counts: float = 2600.0
    bias_counts: float = 40.0
    read_noise_counts: float = 4.0
    gain_e_per_count: float = 6.0
    full_scale: int = 4095

    @property
    def disk_radius_px(self) -> float:
        """Radius of the limb in pixels."""
        return self.radius_px if self.radius_px is not None else 0.455 * self.size_px

    @property
    def center_px(self) -> tuple[float, float]:
        """Disk centre in 0-based pixels."""
        middle = (self.size_px - 1) / 2.0
        return middle + self.center_offset_px[0], middle + self.center_offset_px[1]


@dataclass(frozen=True)
class SimulatedFrame:
    """One simulated exposure and what is true of it.

    Attributes
    ----------
    pixels : ndarray, int16, shape (size, size)
    pointing : Pointing
        The true disk.
    date_obs : datetime
    clean : ndarray, float32
        Brightness before noise, in counts above the bias.
    """

    pixels: NDArray[np.int16]
    pointing: Pointing
    date_obs: datetime
    clean: FloatArray = field(repr=False)


@dataclass(frozen=True)
class _Region:
    """An active region: place (degrees), size (degrees) and strength 0 to 1."""

    latitude: float
    longitude: float
    size: float
    strength: float


class HalphaSun:
    """A Sun that is the same whenever it is looked at.

    Parameters
    ----------
    seed : int
        Makes the Sun: equal seeds give equal frames.
    activity : float
        0 (deep minimum) to 1 (maximum): number of active regions and filaments.
    detail : int
        Height of the texture in cells; 1024 resolves 2048-pixel frames, 256 is quick.
    """

    def __init__(self, seed: int, activity: float = 0.5, detail: int = 1024) -> None:
        self.seed = seed
        self.activity = activity
        random = np.random.default_rng((seed, 1))
        self._regions = _draw_regions(random, activity)
        self._texture = _paint_texture(random, self._regions, activity, detail)
        self._prominences = _draw_prominences(random, activity)

    def frame(
        self,
        date_obs: datetime,
        telescope: HalphaTelescope | None = None,
        *,
        noise_seed: int = 0,
        b0_deg: float = 0.0,
    ) -> SimulatedFrame:
        """Expose one frame at `date_obs` (aware UTC) through `telescope`."""
        telescope = telescope or HalphaTelescope()
        days = (date_obs - _EPOCH).total_seconds() / 86400.0
        clean = self._brightness(days, telescope, b0_deg)
        random = np.random.default_rng((self.seed, noise_seed, int(days * 86400) % (1 << 63)))
        pixels = expose(clean, telescope, random)
        center = telescope.center_px
        # The telescope's roll turns counter-clockwise, CROTA2 the other way.
        pointing = Pointing(center[0], center[1], telescope.disk_radius_px, roll_deg=-telescope.roll_deg)
        return SimulatedFrame(pixels, pointing, date_obs, clean)

    def _brightness(self, days: float, telescope: HalphaTelescope, b0_deg: float) -> FloatArray:
        """Counts above bias without noise."""
        geometry = _geometry(
            telescope.size_px, telescope.disk_radius_px, telescope.center_px, telescope.roll_deg, b0_deg
        )
        height, width = self._texture.shape
        longitude = np.degrees(geometry.longitude) - np.float32(ROTATION_DEG_PER_DAY * days % 360.0)
        column = np.mod(longitude, 360.0) * (width / 360.0)
        row = (np.degrees(geometry.latitude) + 90.0) * (height / 180.0) - 0.5
        structure = cv2.remap(
            self._texture,
            column.astype(np.float32),
            row.astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_WRAP,
        )
        # Structure loses contrast towards the limb, where the line of sight crosses more of it.
        structure *= telescope.contrast * (0.35 + 0.65 * geometry.mu)
        darkening = 1 - telescope.limb_u * (1 - geometry.mu) - telescope.limb_v * (1 - geometry.mu) ** 2
        sun = np.where(geometry.inside, darkening * np.maximum(1 + structure, 0.05), 0.0).astype(np.float32)
        sun += self._off_limb(geometry, days, telescope)
        blur = telescope.seeing_px if telescope.seeing_px is not None else telescope.size_px / 1700.0
        sun = cv2.GaussianBlur(sun, (0, 0), max(0.3, blur))
        sun = (1 - telescope.scattered) * sun + telescope.scattered * _halo(sun)
        sun *= smooth_gradient(sun.shape, telescope.gradient, (self.seed, 7))
        if telescope.flat_residual > 0:
            residual = fractal_field(np.random.default_rng((self.seed, 9)), 256, 3.3)
            residual = cv2.resize(residual, sun.shape[::-1], interpolation=cv2.INTER_LINEAR)
            sun *= 1 + np.float32(telescope.flat_residual) * residual
        return sun * np.float32(telescope.peak_counts)

    def _off_limb(self, geometry: _Geometry, days: float, telescope: HalphaTelescope) -> FloatArray:
        """Prominences: where one of the Sun's stands within some degrees of the limb."""
        light = np.zeros_like(geometry.mu)
        radius, (x0, y0) = telescope.disk_radius_px, telescope.center_px
        for latitude, longitude, height, width, brightness in self._prominences:
            from_meridian = (longitude + ROTATION_DEG_PER_DAY * days + 180.0) % 360.0 - 180.0
            if abs(abs(from_meridian) - 90.0) > 9.0:
                continue
            angle = np.radians(latitude if from_meridian > 0 else 180.0 - latitude)
            angle += np.radians(telescope.roll_deg)
            along = radius * (1 + height * np.linspace(0, 1, 5))[:, None]
            swing = angle + width * np.linspace(-1, 1, 5)[None, :] ** 3
            points = np.stack([x0 + along * np.cos(swing), y0 + along * np.sin(swing)], axis=-1)
            for leg in np.moveaxis(points, 1, 0):
                cv2.polylines(
                    light,
                    [np.round(leg * 16).astype(np.int32)],
                    False,
                    brightness,
                    max(1, int(0.006 * radius)),
                    cv2.LINE_AA,
                    4,
                )
        light = cv2.GaussianBlur(light, (0, 0), max(0.4, 0.004 * radius))
        return np.where(geometry.inside, 0.0, light).astype(np.float32)


def expose(clean: FloatArray, telescope: HalphaTelescope, random: np.random.Generator) -> NDArray[np.int16]:
    """Turn brightness into counts: shot and read noise, bias, full scale."""
    variance = np.maximum(clean, 0) / telescope.gain_e_per_count + telescope.read_noise_counts**2
    # One normal deviate serves both: shot noise is Gaussian at thousands of electrons.
    noise = random.standard_normal(clean.shape, dtype=np.float32) * np.sqrt(variance, dtype=np.float32)
    counts = clean + noise + telescope.bias_counts
    return np.clip(np.rint(counts), 0, telescope.full_scale).astype(np.int16)


def smooth_gradient(shape: tuple[int, ...], amplitude: float, seed: tuple[int, ...] | int) -> FloatArray:
    """A slow multiplicative gradient: cubic in x and y, at most `amplitude` from 1."""
    if amplitude <= 0:
        return np.ones(shape[:2], np.float32)
    random = np.random.default_rng(seed)
    y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :]
    weights = random.normal(size=9) * (1, 1, 0.7, 0.7, 0.7, 0.4, 0.4, 0.4, 0.4)
    terms = (x, y, x * x, x * y, y * y, x**3, x * x * y, x * y * y, y**3)
    field_ = sum((w * t for w, t in zip(weights, terms, strict=True)), np.zeros(shape[:2], np.float32))
    field_ = field_ - field_.mean()
    return (1 + amplitude * field_ / max(float(np.abs(field_).max()), 1e-6)).astype(np.float32)


@dataclass(frozen=True)
class _Geometry:
    """Heliographic coordinates (radians, from the central meridian) of every pixel."""

    inside: NDArray[np.bool_]
    mu: FloatArray
    latitude: FloatArray
    longitude: FloatArray


@lru_cache(maxsize=2)  # a series is taken with the same pointing; a 2048-pixel entry is 53 MB
def _geometry(
    size: int, radius: float, center: tuple[float, float], roll_deg: float, b0_deg: float
) -> _Geometry:
    x = (np.arange(size, dtype=np.float32) - np.float32(center[0])) / np.float32(radius)
    y = (np.arange(size, dtype=np.float32) - np.float32(center[1])) / np.float32(radius)
    roll = np.radians(roll_deg)
    west = np.cos(roll) * x[None, :] + np.sin(roll) * y[:, None]
    north = -np.sin(roll) * x[None, :] + np.cos(roll) * y[:, None]
    rho = np.hypot(west, north)
    mu = mu_of_radius(rho).astype(np.float32)
    inside = rho <= 1.0
    shrink = np.where(inside, 1.0, 1.0 / np.maximum(rho, 1e-6))
    west, north = west * shrink, north * shrink
    b0 = np.radians(b0_deg)
    latitude = np.arcsin(np.clip(north * np.cos(b0) + mu * np.sin(b0), -1, 1))
    longitude = np.arctan2(west, mu * np.cos(b0) - north * np.sin(b0))
    return _Geometry(inside, mu, latitude.astype(np.float32), longitude.astype(np.float32))


def _halo(sun: FloatArray) -> FloatArray:
    """Broad scattered light, from an eighth of the resolution."""
    small = cv2.resize(sun, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), 0.12 * small.shape[0])
    return cv2.resize(small, sun.shape[::-1], interpolation=cv2.INTER_LINEAR)


def _band_noise(random: np.random.Generator, shape: tuple[int, int], cells: float) -> FloatArray:
    """Noise of unit variance with structure of about `cells` cells, periodic in longitude."""
    factor = max(1, int(cells / 2.5))
    small = (max(8, shape[0] // factor), max(16, shape[1] // factor))
    noise = random.standard_normal(small, dtype=np.float32)
    pad = min(24, small[1] // 2)
    noise = np.concatenate([noise[:, -pad:], noise, noise[:, :pad]], axis=1)
    sigma = max(0.4, cells / factor / 2.5)
    noise = cv2.GaussianBlur(noise, (0, 0), sigma)[:, pad:-pad]
    noise = cv2.resize(noise, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return noise / max(float(noise.std()), 1e-6)


def _draw_regions(random: np.random.Generator, activity: float) -> list[_Region]:
    count = random.poisson(1.0 + 16.0 * activity)
    regions = []
    for _ in range(count):
        hemisphere = random.choice((-1, 1))
        size = float(np.clip(random.lognormal(np.log(4.0), 0.5), 1.5, 11.0))
        regions.append(
            _Region(
                float(hemisphere * np.clip(random.normal(16, 6), 4, 38)),
                float(random.uniform(0, 360)),
                size,
                float(np.clip(random.normal(0.6, 0.25), 0.2, 1.0)),
            )
        )
    return regions


def _draw_prominences(
    random: np.random.Generator, activity: float
) -> list[tuple[float, float, float, float, float]]:
    count = 10 + random.poisson(40 * activity)
    return [
        (
            float(random.uniform(-75, 75)),
            float(random.uniform(0, 360)),
            float(random.uniform(0.02, 0.11)),
            float(random.uniform(0.01, 0.05)),
            float(random.uniform(0.03, 0.14)),
        )
        for _ in range(count)
    ]


def _paint_texture(
    random: np.random.Generator, regions: list[_Region], activity: float, height: int
) -> FloatArray:
    """Contrast against the quiet Sun in (latitude, longitude), latitude -90 in row 0."""
    shape = (height, 2 * height)
    degree = height / 180.0
    fibrils = _band_noise(random, shape, max(1.2, 0.35 * degree))
    network = _band_noise(random, shape, max(1.5, 1.9 * degree))
    # Network: bright borders of supergranules, about 30 Mm or 2.5 degrees across.
    texture = 0.034 * fibrils + 0.022 * np.maximum(network, 0) ** 1.5 - 0.010
    plage = _plage_map(regions, shape)
    clumps = np.maximum(_band_noise(random, shape, max(1.5, 0.9 * degree)) + 0.3, 0)
    texture += 0.3 * plage * clumps + 0.03 * plage
    # Unipolar remnants of old regions: wide patches of slightly brighter network.
    texture += 0.006 * activity * _band_noise(random, shape, 14 * degree)
    for _ in range(random.poisson(4 + 26 * activity)):
        _draw_filament(random, texture, degree)
    for region in regions:
        if region.strength > 0.45 and random.random() < 0.8:
            _draw_spots(random, texture, region, degree)
    return np.clip(cv2.GaussianBlur(texture, (0, 0), 0.6), -0.85, 1.4).astype(np.float32)


def _plage_map(regions: list[_Region], shape: tuple[int, int]) -> FloatArray:
    """Strength of plage: a blurred ellipse for each region, at a quarter of the resolution."""
    small = np.zeros((shape[0] // 4, shape[1] // 4), np.float32)
    degree = small.shape[0] / 180.0
    latitude = (np.arange(small.shape[0], dtype=np.float32) + 0.5)[:, None] / degree - 90
    longitude = (np.arange(small.shape[1], dtype=np.float32) + 0.5)[None, :] / degree
    for region in regions:
        apart = (longitude - region.longitude + 180) % 360 - 180
        square = (apart / (1.7 * region.size)) ** 2 + ((latitude - region.latitude) / region.size) ** 2
        small += region.strength * np.exp(-2 * square)
    return cv2.resize(np.minimum(small, 1.0), shape[::-1], interpolation=cv2.INTER_LINEAR)


def _draw_filament(random: np.random.Generator, texture: FloatArray, degree: float) -> None:
    """A dark, winding, broken ribbon."""
    length = float(np.clip(random.lognormal(np.log(9), 0.6), 2, 35))
    steps = max(6, int(length * 2))
    heading = random.uniform(-0.7, 0.7) + np.cumsum(random.normal(0, 0.16, steps))
    longitude = random.uniform(0, 360) + np.cumsum(np.cos(heading)) * length / steps
    latitude = random.uniform(-62, 62) + np.cumsum(np.sin(heading)) * length / steps
    points = np.stack([longitude * degree, (latitude + 90) * degree], axis=-1)
    layer = np.zeros_like(texture[:, : texture.shape[1]])
    width = random.uniform(0.35, 1.1) * degree
    for k in range(steps - 1):
        if random.random() < 0.16:
            continue  # filaments are broken into pieces
        piece = np.round(points[k : k + 2] * 16).astype(np.int32)
        cv2.polylines(
            layer, [piece], False, 1.0, max(1, int(width * random.uniform(0.5, 1.2))), cv2.LINE_AA, 4
        )
    y0, y1 = int(points[:, 1].min() - 6 * degree), int(points[:, 1].max() + 6 * degree)
    rows = slice(max(0, y0), max(1, min(texture.shape[0], y1)))
    soft = cv2.GaussianBlur(layer[rows], (0, 0), max(0.5, 0.18 * degree))
    texture[rows] -= random.uniform(0.1, 0.38) * soft


def _draw_spots(random: np.random.Generator, texture: FloatArray, region: _Region, degree: float) -> None:
    """A few sunspots: in H-alpha only the larger ones show."""
    layer = np.zeros_like(texture)
    for _ in range(1 + random.poisson(2 * region.strength)):
        x = (region.longitude + random.normal(0, 0.6 * region.size)) % 360 * degree
        y = (region.latitude + random.normal(0, 0.25 * region.size) + 90) * degree
        radius = max(0.5, random.uniform(0.25, 1.0) * region.strength * degree)
        cv2.circle(layer, (int(x * 16), int(y * 16)), int(radius * 16), 1.0, -1, cv2.LINE_AA, 4)
    texture -= 0.45 * cv2.GaussianBlur(layer, (0, 0), max(0.5, 0.15 * degree))
