"""The whole visible surface of a simulated photosphere, at the scale of a full-disk frame.

The surface is unrolled to a plane about the disk's centre that keeps distances from there; what is
finer than network repeats on that plane as periodic tiles, network and plage are drawn over all of
it, coarsely. A frame's pixels look both up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.simulate.photosphere import cut, deviate, noise
from observatory.coordinates import RSUN_MM
from observatory.frame import Pointing

FloatArray = NDArray[np.float32]

# Power spectrum of granulation's contrast (Mm^2) at frequencies in cycles per Mm, from the same
# simulation of magneto-convection as `models.simulate.photosphere`'s.
# fmt: off
_FREQUENCIES = (
    0.19, 0.24, 0.305, 0.389, 0.496, 0.633, 0.808, 1.03, 1.314, 1.676, 2.138, 2.727, 3.479,
)
_POWER = (
    3.0e-3, 3.1e-3, 3.3e-3, 3.9e-3, 4.4e-3, 3.8e-3, 3.3e-3, 2.45e-3, 1.38e-3, 7.5e-4, 3.4e-4, 1.3e-4, 5.1e-5,
)
# fmt: on

_PLANE_MM = 1100.0  # from the centre to an edge; a quarter of the Sun's circumference is 1093
_CELL_MM = 1.5
_STRIP_ROWS = 256
_PATCH_KG = 0.42  # of a network element that fills a pixel; its concentrations are finer than that
_NETWORK_KG = 0.016
_PLAGE_KG = 0.17
_INTERNETWORK_KG = 0.016


@dataclass(frozen=True)
class SurfaceTiles:
    """Periodic textures, float32 (side, side), at `mm_px`.

    Attributes
    ----------
    granules : ndarray
        Contrast of granulation, mean 0.
    patches : ndarray
        Noise of unit rms and of the network's fine structure.
    """

    granules: FloatArray
    patches: FloatArray
    mm_px: float


@dataclass(frozen=True)
class Plane:
    """Network and plage on the unrolled surface.

    Attributes
    ----------
    threshold : ndarray, float32
        Where the tile of patches exceeds minus this there is strong field.
    sign : ndarray, float32
        -1 to 1.
    """

    threshold: FloatArray
    sign: FloatArray

    @staticmethod
    def of_sky(west: float, north: float) -> tuple[float, float]:
        """Place on the plane (Mm) of a place on the disk in solar radii from its centre."""
        rho = float(np.hypot(west, north))
        stretch = RSUN_MM * (np.arcsin(min(rho, 1.0)) / rho if rho > 1e-9 else 1.0)
        return west * stretch, north * stretch


def draw_tiles(random: np.random.Generator, pixel_km: float, side: int) -> SurfaceTiles:
    """Draw the textures, of `side` pixels, for pixels of a size."""
    mm = pixel_km / 1000.0
    up = np.fft.fftfreq(side, mm).astype(np.float32)
    across = np.fft.rfftfreq(side, mm).astype(np.float32)
    frequency = np.sqrt(np.square(up)[:, None] + np.square(across)[None, :])
    fine = np.linspace(0.0, float(frequency.max()), 4096)
    place = (frequency * np.float32(4095.0 / fine[-1])).astype(np.int32)
    log_power = np.interp(np.log(np.maximum(fine, 1e-3)), np.log(_FREQUENCIES), np.log(_POWER))
    amplitude = (np.exp(0.5 * log_power) / mm).astype(np.float32)[place]
    # What looking up between the tile's pixels takes away, on the average of all places, is added before.
    lost = [(2.0 + np.cos(2.0 * np.pi * mm * axis)) / 3.0 for axis in (up, across)]
    amplitude /= np.sqrt(np.maximum(lost[0][:, None] * lost[1][None, :], 0.2))
    granules = _with_spectrum(random, amplitude)
    # The dark lanes are narrower than the bright granules: HMI's histogram leans a little.
    granules += np.float32(0.03) * (np.square(granules) / granules.std() - granules.std())
    blobs = np.exp(-np.square(fine * 0.55)) + 1.8 * np.exp(-np.square(fine * 1.6))
    patches = _with_spectrum(random, blobs.astype(np.float32)[place])
    return SurfaceTiles(granules, patches / patches.std(), mm)


def _with_spectrum(random: np.random.Generator, amplitude: FloatArray) -> FloatArray:
    side = amplitude.shape[0]
    white = random.standard_normal((side, side), dtype=np.float32)
    spectrum = np.fft.rfft2(white)
    spectrum *= amplitude
    spectrum[0, 0] = 0
    return np.asarray(np.fft.irfft2(spectrum, (side, side)), np.float32)


def draw_plane(random: np.random.Generator, plage: Sequence[tuple[float, float, float, float]]) -> Plane:
    """Draw network all over, and plage at places (west and north in Mm, size in degrees, polarity)."""
    side = int(2 * _PLANE_MM / _CELL_MM)
    cell_km = _CELL_MM * 1000.0
    bend = [2500.0 * noise(random, side, side, 12000.0, cell_km) for _ in range(2)]
    border, _ = cut(random, 27000.0, cell_km, bend[0], bend[1])
    patchy = np.exp(0.9 * noise(random, side, side, 6000.0, cell_km) - np.float32(0.4))
    mean = np.float32(_NETWORK_KG) * np.exp(-np.square(border / np.float32(2600.0))) * patchy
    mixed = noise(random, side, side, 9000.0, cell_km)
    sign = mixed + np.float32(0.8) * noise(random, side, side, 38000.0, cell_km)
    ragged = np.float32(0.55) * noise(random, side, side, 14000.0, cell_km) + np.float32(0.2) * mixed
    axis = (np.arange(side, dtype=np.float32) + 0.5) * _CELL_MM - _PLANE_MM
    for west, north, size_deg, polarity in plage:
        extent = np.float32(size_deg * 12.142)
        reach = 1.5 * float(extent)
        rows, columns = (slice(*np.searchsorted(axis, (at - reach, at + reach))) for at in (north, west))
        across, upwards = np.meshgrid((axis[columns] - west) / extent, (axis[rows] - north) / extent)
        if not across.size:
            continue
        level = 1.0 - np.hypot(across / 0.62, upwards / 0.40) + ragged[rows, columns]
        cover = np.clip(level / np.float32(0.35), 0.0, 1.0)
        np.maximum(
            mean[rows, columns], _PLAGE_KG * cover * patchy[rows, columns] ** 0.5, out=mean[rows, columns]
        )
        wanted = np.float32(polarity) * across * 6.0 + 0.4 * ragged[rows, columns]
        sign[rows, columns] += np.minimum(2.0 * cover, 1.0) * (wanted - sign[rows, columns])
    share = np.clip(mean / np.float32(_PATCH_KG), 1e-4, 0.97)
    return Plane(deviate(share), np.clip(4.0 * sign, -1.0, 1.0).astype(np.float32))


@dataclass(frozen=True)
class Surface:
    """What a telescope looks at, pixel by pixel; float32 (height, width).

    Attributes
    ----------
    light : ndarray
        Continuum without limb darkening, 1 is the quiet Sun.
    field_kg : ndarray
        Radial field.
    mu : ndarray
        Cosine of the heliocentric angle, 0 beyond the limb.
    inside : ndarray
        Share of the pixel on the disk.
    """

    light: FloatArray
    field_kg: FloatArray
    mu: FloatArray
    inside: FloatArray
    mm_px: float

    def unrolled(
        self, rows: slice, columns: slice, pointing: Pointing
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Places on the plane (Mm, west and north) and distances from the disk's centre in radii."""
        return _unrolled(rows, columns, self.light.shape, pointing)


def _unrolled(
    rows: slice, columns: slice, shape: tuple[int, ...], pointing: Pointing
) -> tuple[FloatArray, FloatArray, FloatArray]:
    radius = np.float32(pointing.radius_px)
    right = (np.arange(*columns.indices(shape[1]), dtype=np.float32) - pointing.center_x_px) / radius
    up = (np.arange(*rows.indices(shape[0]), dtype=np.float32) - pointing.center_y_px) / radius
    right, up = right.astype(np.float32)[None, :], up.astype(np.float32)[:, None]
    rho = np.sqrt(np.square(right) + np.square(up))
    on_disk = np.clip(rho, np.float32(1e-6), np.float32(1.0))
    stretch = np.float32(RSUN_MM) * np.arcsin(on_disk) / on_disk
    roll = np.radians(pointing.roll_deg or 0.0)
    cosine, sine = np.float32(np.cos(roll)), np.float32(np.sin(roll))
    return (cosine * right - sine * up) * stretch, (sine * right + cosine * up) * stretch, rho


def look_at(shape: tuple[int, int], pointing: Pointing, tiles: SurfaceTiles, plane: Plane) -> Surface:
    """Look the surface up for every pixel of a frame (height, width)."""
    light, field_kg, mu_map, inside = (np.zeros(shape, np.float32) for _ in range(4))
    surface = Surface(light, field_kg, mu_map, inside, tiles.mm_px)
    for first in range(0, shape[0], _STRIP_ROWS):
        rows = slice(first, min(first + _STRIP_ROWS, shape[0]))
        west, north, rho = _unrolled(rows, slice(None), shape, pointing)
        mu = np.sqrt(np.maximum(1.0 - np.square(rho), 0.0))
        surface.mu[rows] = mu
        surface.inside[rows] = np.clip((1.0 - rho) * np.float32(pointing.radius_px) + 0.5, 0.0, 1.0)
        fine = np.float32(1.0 / tiles.mm_px)
        x, y = west * fine, north * fine
        granules = _wrapped(tiles.granules, x, y)
        # Foreshortened granules blend into each other, and we look at their upper, calmer layers.
        surface.light[rows] = 1.0 + granules * np.sqrt(mu) * (0.35 + 0.65 * mu)
        patches = _wrapped(tiles.patches, x, y)
        weak = _wrapped(tiles.patches, y + np.float32(811.5), x + np.float32(377.5))
        coarse = np.float32(1.0 / _CELL_MM)
        middle = np.float32(_PLANE_MM / _CELL_MM - 0.5)
        x, y = west * coarse + middle, north * coarse + middle
        threshold = cv2.remap(plane.threshold, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        sign = cv2.remap(plane.sign, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        full = np.clip((patches + threshold) * np.float32(1.0 / 0.8) + 0.5, 0.0, 1.4)
        surface.field_kg[rows] = np.float32(_PATCH_KG) * full * sign + np.float32(_INTERNETWORK_KG) * weak
        # Faculae: hot walls that show towards the limb, and hardly in the middle of the disk.
        surface.light[rows] += np.float32(0.16) * full * np.square(1.0 - mu)
    return surface


def _wrapped(tile: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
    return np.asarray(cv2.remap(tile, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP), np.float32)
