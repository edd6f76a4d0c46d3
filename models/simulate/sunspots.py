"""Sunspots and pores of a simulated photosphere: where they lie, how dark they are, how strong.

A spot is a dark umbra with dots in it and, unless it is a pore, a penumbra of radial filaments. Its
field is strong and vertical in the umbra and weaker and flatter outwards (Solanki 2003, Astron.
Astrophys. Rev. 11, 153, sections 3 and 5), so that along the line of sight it falls steadily.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from models.simulate.degrade import fractal_field

FloatArray = NDArray[np.float32]

_FILAMENT_KM = 330.0  # width of a penumbral filament with the gap beside it
_FILAMENT_LENGTH_KM = 4200.0
_DOT_KM = 420.0  # apart, umbral dots and the granule-like structure of a pore's edge
_PENUMBRA = 0.80  # mean brightness of a penumbra in the red continuum: Solanki 2003, section 4


@dataclass(frozen=True)
class Spot:
    """A sunspot, or a pore (`umbra_share` 1).

    Attributes
    ----------
    x_km, y_km : float
        Its middle, from the picture's first pixel.
    radius_km : float
        Outer edge, the penumbra's where there is one.
    umbra_share : float
        Radius of the umbra as a share of `radius_km`: 0.4 to 0.45 is usual.
    darkness : float
        Brightness of the umbra's core, 1 is the quiet Sun: 0.1 (large) to 0.4 (a pore).
    field_kg : float
        Signed strength of the umbra's core.
    raggedness : float
        How far the outlines stray from circles, 0 to 0.4.
    seed : int
        Draws its outlines and filaments.
    """

    x_km: float
    y_km: float
    radius_km: float
    umbra_share: float = 0.43
    darkness: float = 0.15
    field_kg: float = 2.6
    raggedness: float = 0.15
    seed: int = 0


@dataclass(frozen=True)
class SpotGroup:
    """A group of spots with its plage.

    Attributes
    ----------
    id : int
    latitude_deg, longitude_deg : float
        Carrington longitude at the Sun's epoch.
    size_deg : float
        From the leading to the following side, on the Sun.
    polarity : float
        Sign of the leading side.
    spots : tuple of Spot
        Their x (westwards) and y (northwards) count from the group's middle.
    """

    id: int
    latitude_deg: float
    longitude_deg: float
    size_deg: float
    polarity: float
    spots: tuple[Spot, ...] = field(repr=False)


def draw_spots(
    random: np.random.Generator, extent_km: tuple[float, float], spots: int, pores: int
) -> tuple[Spot, ...]:
    """Draw spots in pairs of opposite polarity, and pores, over an area (height, width)."""
    drawn = []
    height, width = extent_km
    sign = float(random.choice((-1.0, 1.0)))
    for number in range(spots + pores):
        is_pore = number >= spots
        if is_pore:
            radius, share = random.uniform(900.0, 2600.0), 1.0
            darkness, strength = random.uniform(0.25, 0.5), random.uniform(1.4, 2.1)
        else:
            largest = min(17000.0, 0.36 * min(height, width))
            radius = float(np.clip(random.lognormal(np.log(9500.0), 0.35), min(4000.0, largest), largest))
            share = random.uniform(0.38, 0.47)
            # Larger umbrae are darker and stronger: Mathew et al. 2007, A&A 465, 291.
            darkness = float(np.clip(0.36 - 0.018 * radius * share / 1000.0, 0.08, 0.4))
            strength = float(np.clip(2.1 + 0.14 * radius * share / 1000.0 + random.normal(0, 0.1), 2.0, 3.1))
        drawn.append(
            Spot(
                x_km=random.uniform(0.12, 0.88) * width,
                y_km=random.uniform(0.12, 0.88) * height,
                radius_km=radius,
                umbra_share=share,
                darkness=darkness,
                field_kg=sign * strength,
                raggedness=random.uniform(0.08, 0.28),
                seed=int(random.integers(2**31)),
            )
        )
        sign = -sign
    return tuple(drawn)


def draw_groups(random: np.random.Generator, activity: float) -> list[SpotGroup]:
    """Groups in two belts; the leading side nearer to the equator (Hale 1919; Joy's law)."""
    groups = []
    for number in range(random.poisson(24 * activity)):
        hemisphere = float(random.choice((-1.0, 1.0)))
        latitude = hemisphere * float(np.clip(random.normal(16, 6), 4, 35))
        size = float(np.clip(random.lognormal(np.log(5.0), 0.45), 2.0, 14.0))
        polarity = hemisphere * (1.0 if random.random() < 0.97 else -1.0)
        spots = tuple(_draw_group_spots(random, size, polarity, hemisphere))
        longitude = float(random.uniform(0, 360))
        groups.append(SpotGroup(number + 1, latitude, longitude, size, polarity, spots))
    return groups


def _draw_group_spots(
    random: np.random.Generator, size_deg: float, polarity: float, hemisphere: float
) -> list[Spot]:
    extent_km = size_deg * 12142.0  # of a degree on the Sun
    spots = []
    for number in range(2 + random.poisson(0.5 * size_deg)):
        side = 1.0 if number % 2 == 0 else -1.0  # leading is west
        largest = extent_km * (0.22 if number == 0 else 0.13 if number == 1 else 0.06)
        radius = float(np.clip(largest * random.lognormal(0.0, 0.3), 1500.0, 24000.0))
        share = random.uniform(0.38, 0.47) if radius > 4000.0 else 1.0
        umbra = radius * share / 1000.0
        where = 0.36 if number < 2 else random.uniform(0.05, 0.45)
        aside = random.normal(0, 0.03 if number < 2 else 0.1)
        spots.append(
            Spot(
                x_km=side * where * extent_km,
                y_km=(-hemisphere * side * 0.08 + aside) * extent_km,
                radius_km=radius if share < 1 else radius * 0.6,
                umbra_share=share,
                darkness=float(np.clip(0.36 - 0.018 * umbra, 0.08, 0.45)),
                field_kg=polarity * side * float(np.clip(2.0 + 0.14 * umbra, 1.6, 3.1)),
                raggedness=random.uniform(0.08, 0.25),
                seed=int(random.integers(2**31)),
            )
        )
    return spots


def add_spots(continuum: FloatArray, field_kg: FloatArray, spots: Sequence[Spot], pixel_km: float) -> None:
    """Draw spots into a continuum (1 = quiet) and a field (kG), in place."""
    for spot in spots:
        reach = spot.radius_km * (1.35 + spot.raggedness) / pixel_km
        x, y = spot.x_km / pixel_km, spot.y_km / pixel_km
        rows = slice(max(0, int(y - reach)), max(0, int(y + reach) + 2))
        columns = slice(max(0, int(x - reach)), max(0, int(x + reach) + 2))
        part = continuum[rows, columns]
        if not part.size:
            continue
        across = np.arange(columns.start, columns.start + part.shape[1], dtype=np.float32) - np.float32(x)
        upwards = np.arange(rows.start, rows.start + part.shape[0], dtype=np.float32) - np.float32(y)
        across, upwards = np.meshgrid(across * np.float32(pixel_km), upwards * np.float32(pixel_km))
        draw_spot(part, field_kg[rows, columns], across, upwards, spot)


def draw_spot(
    continuum: FloatArray, field_kg: FloatArray, across_km: FloatArray, upwards_km: FloatArray, spot: Spot
) -> None:
    """Draw one spot, in place, where each pixel's distance from its middle on the Sun is known.

    Parameters
    ----------
    continuum, field_kg, across_km, upwards_km : ndarray, float32, shape (height, width)
    """
    _draw(continuum, field_kg, _Polar.about(across_km, upwards_km, spot), spot)


@dataclass(frozen=True)
class _Polar:
    """A spot's neighbourhood: ragged distance in radii, and noise of unit rms."""

    radius: FloatArray
    filaments: FloatArray
    dots: FloatArray

    @classmethod
    def about(cls, across: FloatArray, upwards: FloatArray, spot: Spot) -> _Polar:
        random = np.random.default_rng(spot.seed)
        distance, angle = cv2.cartToPolar(across, upwards)
        shift = random.uniform(0, 512, 6).astype(np.float32)
        coarse = np.float32(512.0 / (6.0 * spot.radius_km))  # the texture spans six radii
        outline = _sampled(_texture(3.2), across * coarse + shift[0], upwards * coarse + shift[1])
        radius = distance / np.float32(spot.radius_km) * (1.0 + np.float32(spot.raggedness) * outline)
        # Filaments keep their number, not their width; a whole number of periods closes the circle.
        middle = np.pi * 1.4 * spot.radius_km
        periods = max(1, round(4.0 * middle / _FILAMENT_KM / 512.0))
        turn = angle * np.float32(512.0 * periods / (2.0 * np.pi)) + np.float32(2.0) * outline
        along = distance * np.float32(4.0 / _FILAMENT_LENGTH_KM)
        filaments = _sampled(_texture(0.7), turn + shift[2], along + shift[3])
        dot = np.float32(4.0 / _DOT_KM)
        dots = _sampled(_texture(1.7), across * dot + shift[4], upwards * dot + shift[5])
        return cls(radius, filaments, dots)


def _draw(continuum: FloatArray, field_kg: FloatArray, polar: _Polar, spot: Spot) -> None:
    share = np.float32(spot.umbra_share)
    has_penumbra = spot.umbra_share < 0.9
    ragged = polar.filaments if has_penumbra else polar.dots
    # How much of each part a pixel has, 0 to 1; filaments reach in and out at both edges.
    softness = np.float32(min(0.03, 220.0 / spot.radius_km))
    within = _step((1.0 - polar.radius + 0.045 * ragged) / (2.0 * softness))
    umbral = _step((share - polar.radius - 0.05 * ragged * share) / (1.5 * softness * share))
    depth = np.clip(polar.radius / share, 0.0, 1.0)
    dots = np.maximum(polar.dots - 0.6, 0.0)
    umbra = spot.darkness * (1.0 + 0.55 * np.square(depth)) + 0.055 * dots * (0.3 + depth)
    outward = np.clip((polar.radius - share) / max(1.0 - spot.umbra_share, 1e-3), 0.0, 1.2)
    penumbra = _PENUMBRA - 0.10 + 0.17 * outward + 0.13 * polar.filaments
    spot_light = umbra + (1.0 - umbral) * (penumbra - umbra) if has_penumbra else umbra
    continuum += within * (spot_light.astype(np.float32) - continuum)
    # The line-of-sight field: strength times the cosine of an inclination that grows outwards.
    fall = 1.0 / (1.0 + 1.25 * np.square(polar.radius))
    steep = np.cos(np.clip(polar.radius, 0.0, 1.15) * np.float32(np.radians(78.0)))
    combed = 1.0 + 0.33 * polar.filaments * (1.0 - umbral) if has_penumbra else 1.0
    share_of_core = np.minimum(fall * (steep if has_penumbra else 1.0) * combed, 1.0)
    strength = np.float32(spot.field_kg) * share_of_core
    field_kg += within * (strength.astype(np.float32) - field_kg)


def _step(value: NDArray[np.floating]) -> FloatArray:
    """Smooth step from 0 at -1 to 1 at 1."""
    value = np.clip(0.5 * value + 0.5, 0.0, 1.0)
    return np.asarray(value * value * (3.0 - 2.0 * value), np.float32)


@lru_cache(maxsize=4)
def _texture(slope: float) -> FloatArray:
    """Fractal noise of unit rms without detail finer than four cells, periodic over 512."""
    noise = fractal_field(np.random.default_rng(round(slope * 10)), 512, slope)
    noise = cv2.GaussianBlur(np.pad(noise, 8, mode="wrap"), (0, 0), 1.2)[8:-8, 8:-8]
    return np.asarray(noise / noise.std(), np.float32)


def _sampled(texture: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
    sampled = cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return np.asarray(sampled, np.float32)
