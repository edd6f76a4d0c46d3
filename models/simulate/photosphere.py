"""A simulated photosphere: granulation, spots, and the field that belongs to them, at 48 km.

Granules are cells about scattered points, split by weaker cracks, their edges brighter than their
middles; a fixed filter and a fixed curve then give the picture the power spectrum and the
histogram of a simulation of magneto-convection. The field stands in kilogauss concentrations in
the lanes, most of them on the borders of supergranules and in plage. It is meant to train and to
test where no real pair exists; nothing here is solved from the equations of the plasma.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import cv2
import numpy as np
from numpy.typing import NDArray

from models.simulate.sunspots import Spot, add_spots, draw_spots

__all__ = ["GRID_KM", "Photosphere", "Spot", "field", "granulation", "photosphere"]

FloatArray = NDArray[np.float32]

#: Everything is drawn on this grid and then resampled.
GRID_KM = 48.0
_GRANULE_KM = 1350.0  # distance of granules' middles
_FRAGMENT_KM = 640.0
_SUPERGRANULE_KM = 27000.0  # Rieutord & Rincon 2010, Living Rev. Solar Phys. 7, 2, section 2.1
_COARSE = 16  # what is larger than granules is drawn on a grid so many times coarser
_MARGIN_PX = 24  # drawn and cut off: the filter wraps around

# Fitted so that the power spectrum and the histogram are those of a snapshot of simulated
# magneto-convection at 48 km (the one that networks of enhancement learn from): amplification at
# frequencies in cycles per Mm, and what a filtered contrast becomes in units of the mean.
_MEAN, _RMS = -1.1402, 0.9610
# fmt: off
_FREQUENCIES = (
    0.25, 0.332, 0.441, 0.5857, 0.7778, 1.033, 1.372, 1.8222, 2.42, 3.2141, 4.2687, 5.6693, 7.5295, 10.0,
)
_GAINS = (
    1.0, 1.1252, 1.4563, 1.3709, 1.4689, 1.6165, 1.5171, 1.5895, 1.6311, 1.9817, 2.3332, 2.7128, 2.6608, 1.6559,
)
_CONTRAST = (
    -7.247, -5.401, -3.966, -2.615, -1.971, -1.679, -1.317, -1.021, -0.713, -0.327,
    0.192, 0.781, 1.395, 2.141, 2.729, 3.885, 5.229, 6.281, 8.427,
)
_BRIGHTNESS = (
    0.521, 0.586, 0.641, 0.703, 0.764, 0.799, 0.847, 0.889, 0.934, 0.985,
    1.04, 1.096, 1.155, 1.227, 1.278, 1.36, 1.439, 1.508, 1.656,
)
# fmt: on

#: Normal deviates and the share of all that lies below each; simulators do without scipy, which only training needs.
_DEVIATES = np.linspace(-4.0, 2.5, 4096)
_BELOW = np.array([NormalDist().cdf(value) for value in _DEVIATES])
_STRONG_KG = 1.35  # concentrations in lanes: Solanki 1993, Space Sci. Rev. 63, 1
_NETWORK_KG = 0.008  # mean on the borders of supergranules
_PLAGE_KG = 0.15  # mean in plage
_LANE_SHARE = 0.27  # of the area lies in lanes
_CALMED = 1.03  # contrast that the quiet Sun's own field takes away
_INTERNETWORK_KG = 0.013


@dataclass(frozen=True)
class Photosphere:
    """A piece of the Sun at disk centre.

    Attributes
    ----------
    continuum : ndarray, float32, shape (height, width)
        1 is the quiet Sun's mean.
    field_kg : ndarray, float32, shape (height, width)
        Along the line of sight, positive towards the observer.
    spots : tuple of Spot
    pixel_km : float
    """

    continuum: FloatArray
    field_kg: FloatArray
    spots: tuple[Spot, ...]
    pixel_km: float


def photosphere(
    shape: tuple[int, int],
    pixel_km: float,
    random: np.random.Generator,
    *,
    spots: int | Sequence[Spot] = 0,
    pores: int = 0,
    plage: float = 0.0,
    network: float = 1.0,
) -> Photosphere:
    """Draw a continuum and the field that belongs to it.

    Parameters
    ----------
    shape : tuple (height, width)
    pixel_km : float
        Side of a pixel on the Sun.
    random : Generator
        Fresh generators of one seed give equal pieces.
    spots : int or sequence of Spot
        How many to draw, or which.
    pores : int
        How many to draw, where `spots` is a number too.
    plage : float
        Share of the area that is plage, 0 to 1.
    network : float
        Factor on the flux of the network; 1 is the quiet Sun.
    """
    structure, magnetism, placing = random.spawn(3)
    height, width = (max(8, round(side * pixel_km / GRID_KM)) for side in shape)
    cells = _draw_cells(structure, height + 2 * _MARGIN_PX, width + 2 * _MARGIN_PX)
    light = _as_simulated(_draw_granules(structure, cells))
    inner = (slice(_MARGIN_PX, _MARGIN_PX + height), slice(_MARGIN_PX, _MARGIN_PX + width))
    field_kg = _draw_field(magnetism, cells.lane_km[inner], plage, network)
    light = _brightened(light[inner], field_kg)
    if isinstance(spots, int):
        spots = draw_spots(placing, (height * GRID_KM, width * GRID_KM), spots, pores)
    add_spots(light, field_kg, spots, GRID_KM)
    return Photosphere(_resampled(light, shape), _resampled(field_kg, shape), tuple(spots), pixel_km)


def granulation(
    shape: tuple[int, int],
    pixel_km: float,
    random: np.random.Generator,
    *,
    spots: int | Sequence[Spot] = 0,
    pores: int = 0,
    plage: float = 0.0,
    network: float = 1.0,
) -> FloatArray:
    """Continuum of `photosphere`: 1 is the quiet Sun's mean."""
    piece = photosphere(shape, pixel_km, random, spots=spots, pores=pores, plage=plage, network=network)
    return piece.continuum


def field(
    shape: tuple[int, int],
    pixel_km: float,
    random: np.random.Generator,
    *,
    plage: float = 0.0,
    network: float = 1.0,
    spots: int | Sequence[Spot] = 0,
    pores: int = 0,
) -> FloatArray:
    """Field of `photosphere` in kG: that of the `granulation` of a fresh generator of the same seed."""
    piece = photosphere(shape, pixel_km, random, spots=spots, pores=pores, plage=plage, network=network)
    return piece.field_kg


@dataclass(frozen=True)
class _Cells:
    """Granules: distances to the nearest lane and to the nearest crack, and levels of unit rms."""

    lane_km: FloatArray
    crack_km: FloatArray
    level: FloatArray
    fragment_level: FloatArray


def _draw_cells(random: np.random.Generator, height: int, width: int) -> _Cells:
    # Granules are ragged: the plane is bent at their own size and below before it is cut up.
    bend_x, bend_y = (
        140.0 * noise(random, height, width, 1200.0) + 70.0 * noise(random, height, width, 520.0)
        for _ in range(2)
    )
    lane, level = cut(random, _GRANULE_KM, GRID_KM, bend_x, bend_y)
    bend_x += 60.0 * noise(random, height, width, 420.0)
    bend_y += 60.0 * noise(random, height, width, 420.0)
    crack, fragment = cut(random, _FRAGMENT_KM, GRID_KM, bend_x, bend_y)
    return _Cells(lane, crack, level, fragment)


def cut(
    random: np.random.Generator, apart_km: float, grid_km: float, bend_x: FloatArray, bend_y: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Cells about scattered points: distance to the nearest border (km), and a level for each cell.

    `bend_x` and `bend_y` say how far (km) each point of the result looks aside.
    """
    height, width = bend_x.shape
    margin = int(2.0 * apart_km / grid_km)
    points = _points(random, height + 2 * margin, width + 2 * margin, apart_km / grid_km)
    empty = np.full((height + 2 * margin, width + 2 * margin), 255, np.uint8)
    empty[points[:, 1], points[:, 0]] = 0
    _, labels = cv2.distanceTransformWithLabels(empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_CCOMP)
    inside = np.full(labels.shape, 255, np.uint8)
    inside[:, 1:][labels[:, 1:] != labels[:, :-1]] = 0
    inside[1:][labels[1:] != labels[:-1]] = 0
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_5)
    distance = cv2.GaussianBlur(distance, (0, 0), 1.5)  # the grid's steps would show in the lanes
    levels = random.standard_normal(int(labels.max()) + 1, dtype=np.float32)
    x = bend_x / np.float32(grid_km) + np.arange(margin, margin + width, dtype=np.float32)[None, :]
    y = bend_y / np.float32(grid_km) + np.arange(margin, margin + height, dtype=np.float32)[:, None]
    border = cv2.remap(distance, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    level = cv2.remap(levels[labels], x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    # A blurred border lies 0.83 cells from itself.
    return np.abs((border - np.float32(0.83)) * np.float32(grid_km)), np.asarray(level, np.float32)


def _points(random: np.random.Generator, height: int, width: int, apart: float) -> NDArray[np.int64]:
    """Scattered points (x, y), some left out and some doubled: sizes differ as granules' do."""
    rows, columns = int(height / apart) + 1, int(width / apart) + 1
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float64)
    x[1::2] += 0.5
    points = np.stack([x.ravel(), y.ravel()], axis=1) * apart
    points += random.uniform(-0.5, 0.5, points.shape) * apart
    points = points[random.random(len(points)) > 0.12]
    twins = points[random.random(len(points)) < 0.16]
    points = np.concatenate([points, twins + random.normal(0, 0.4 * apart, twins.shape)])
    places = np.rint(points).astype(np.int64)
    return places[(places >= 0).all(axis=1) & (places < (width, height)).all(axis=1)]


def deviate(share: FloatArray) -> FloatArray:
    """Normal deviate below which a share of all lies; of shares from 1e-4 to 0.99."""
    return np.interp(share, _BELOW, _DEVIATES).astype(np.float32)


def noise(
    random: np.random.Generator, height: int, width: int, size_km: float, grid_km: float = GRID_KM
) -> FloatArray:
    """Smooth noise of unit rms whose blobs are about `size_km` across."""
    step = max(1.0, 0.5 * size_km / grid_km)
    coarse = random.standard_normal((int(height / step) + 4, int(width / step) + 4), dtype=np.float32)
    coarse = cv2.GaussianBlur(coarse, (0, 0), 0.8) * np.float32(2.83)  # back to unit rms
    shift = random.uniform(0.5, 1.5, 2)
    matrix = np.array([[1.0 / step, 0.0, shift[0]], [0.0, 1.0 / step, shift[1]]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(coarse, matrix, (width, height), flags=flags), np.float32)


def _draw_granules(random: np.random.Generator, cells: _Cells) -> FloatArray:
    """Contrast of the granules, before its spectrum and its histogram are set right."""
    height, width = cells.lane_km.shape
    lane, crack = cells.lane_km, cells.crack_km
    dark = np.exp(-np.power(lane / np.float32(135.0), np.float32(2.2)))
    edge = np.exp(-np.square((lane - np.float32(240.0)) / np.float32(120.0)))
    uneven = np.maximum(0.3 + 0.9 * noise(random, height, width, 520.0), -0.4)
    depth = np.clip(0.25 + 0.75 * noise(random, height, width, 800.0), 0.0, 1.6)
    split = depth * np.exp(-np.square(crack / np.float32(90.0)))
    rim = depth * np.exp(-np.square((crack - np.float32(200.0)) / np.float32(90.0)))
    ridge = np.exp(-np.square(noise(random, height, width, 520.0) * np.float32(2.4)))
    notched = np.clip(0.2 + noise(random, height, width, 900.0), 0.0, 1.6)
    # Faint granules are fainter than bright ones are bright: behind a telescope that is what is left of the
    # histogram.
    inside = (
        0.36 * cells.level - 0.14 * np.square(cells.level) + 0.25 * cells.fragment_level + 0.8 * edge * uneven
    )
    inside += 0.7 * rim - 1.5 * split - 0.9 * ridge * notched + 0.35 * noise(random, height, width, 300.0)
    lanes = -2.0 + 0.35 * noise(random, height, width, 600.0)
    return np.asarray(inside + dark * (lanes - inside), np.float32)


def _as_simulated(contrast: FloatArray) -> FloatArray:
    """Give a contrast the power spectrum and the histogram of simulated magneto-convection."""
    height, width = (cv2.getOptimalDFTSize(side) for side in contrast.shape)
    spectrum = np.fft.rfft2((contrast - np.float32(_MEAN)) / np.float32(_RMS), (height, width))
    cycles_per_mm = 1000.0 / GRID_KM
    up = (np.fft.fftfreq(height) * cycles_per_mm).astype(np.float32)
    across = (np.fft.rfftfreq(width) * cycles_per_mm).astype(np.float32)
    frequency = np.sqrt(np.square(up)[:, None] + np.square(across)[None, :])
    # The gain over evenly spaced frequencies: looking up is faster than interpolating.
    fine = np.linspace(0.0, float(frequency.max()), 2048)
    gain = np.exp(np.interp(np.log(np.maximum(fine, 1e-3)), np.log(_FREQUENCIES), np.log(_GAINS)))
    place = (frequency * np.float32(2047.0 / fine[-1])).astype(np.int32)
    spectrum *= gain.astype(np.float32)[place]
    filtered = np.fft.irfft2(spectrum, (height, width))[: contrast.shape[0], : contrast.shape[1]]
    return np.interp(filtered, _CONTRAST, _BRIGHTNESS).astype(np.float32)


def _draw_field(random: np.random.Generator, lane_km: FloatArray, plage: float, network: float) -> FloatArray:
    """Line-of-sight field (kG) in the lanes."""
    height, width = lane_km.shape
    mean_kg, polarity = _draw_flux(random, height, width, plage, network)
    lane = np.exp(-np.square(lane_km / np.float32(115.0)))
    # Where the noise is above what leaves the wanted share of lanes, they are full of field.
    share = np.clip(mean_kg / np.float32(_STRONG_KG * _LANE_SHARE), 1e-4, 0.93)
    patches = 0.85 * noise(random, height, width, 700.0) + 0.53 * noise(random, height, width, 1900.0)
    full = np.clip((patches + deviate(share)) / np.float32(0.5) + 0.5, 0.0, 1.0)
    strong = np.float32(_STRONG_KG) * full * lane * polarity
    mixed = noise(random, height, width, 1100.0) * (0.35 + 1.2 * lane)
    weak = np.float32(_INTERNETWORK_KG) * mixed * (1.0 + 0.5 * noise(random, height, width, 420.0))
    return np.asarray(strong + weak * (1.0 - full), np.float32)


def _draw_flux(
    random: np.random.Generator, height: int, width: int, plage: float, network: float
) -> tuple[FloatArray, FloatArray]:
    """Mean unsigned flux density (kG) that network and plage ask for, and its sign."""
    rows, columns = height // _COARSE + 2, width // _COARSE + 2
    grid_km = GRID_KM * _COARSE
    bend = [2500.0 * noise(random, rows, columns, 12000.0, grid_km) for _ in range(2)]
    border, _ = cut(random, _SUPERGRANULE_KM, grid_km, bend[0], bend[1])
    patchy = np.exp(0.9 * noise(random, rows, columns, 6000.0, grid_km) - np.float32(0.4))
    mean = np.float32(network * _NETWORK_KG) * np.exp(-np.square(border / np.float32(2600.0))) * patchy
    mixed = noise(random, rows, columns, 9000.0, grid_km)
    wide = noise(random, rows, columns, 38000.0, grid_km)
    sign = mixed + np.float32(0.8) * wide
    if plage > 0:
        ragged = noise(random, rows, columns, 30000.0, grid_km)
        ragged += np.float32(0.3) * noise(random, rows, columns, 7000.0, grid_km)
        level = float(np.quantile(ragged, 1.0 - min(plage, 1.0))) if plage < 1 else float(ragged.min()) - 1.0
        cover = np.clip((ragged - np.float32(level)) / np.float32(0.25), 0.0, 1.0)
        mean = np.maximum(mean, np.float32(_PLAGE_KG) * cover * np.clip(0.75 + 0.35 * patchy, 0.6, 1.6))
        sign = sign * (1.0 - cover) + cover * (wide + 0.15 * mixed)
    sign = np.clip(np.float32(4.0) * sign, -1.0, 1.0)
    return _enlarged(mean, height, width), _enlarged(sign, height, width)


def _enlarged(coarse: FloatArray, height: int, width: int) -> FloatArray:
    matrix = np.array([[1.0 / _COARSE, 0.0, 0.5], [0.0, 1.0 / _COARSE, 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(coarse.astype(np.float32), matrix, (width, height), flags=flags))


def _brightened(light: FloatArray, field_kg: FloatArray) -> FloatArray:
    """Granulation with its bright points, and calmer where there is much field."""
    strength = np.abs(field_kg)
    point = np.clip((strength - np.float32(0.7)) / np.float32(0.6), 0.0, 1.0)
    around = cv2.GaussianBlur(cv2.resize(strength, None, fx=0.125, fy=0.125), (0, 0), 5.0)
    around = cv2.resize(around, light.shape[::-1], interpolation=cv2.INTER_LINEAR)
    calm = np.float32(1.0) - np.float32(0.8) * np.minimum(around, 0.3)
    bright = 1.0 + (light - 1.0) * np.float32(_CALMED) * calm
    return np.asarray(bright + 0.75 * point * np.maximum(1.08 - bright, 0.0), np.float32)


def _resampled(plane: FloatArray, shape: tuple[int, int]) -> FloatArray:
    if plane.shape == shape:
        return plane
    how = cv2.INTER_AREA if plane.shape[0] >= shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(plane, (shape[1], shape[0]), interpolation=how), np.float32)
