"""What a simulated sky holds at one moment, and the directions in which a camera sees it.

Azimuths count from north over east. Brightness is told in units of the moonless natural sky at the zenith
(21.6 mag per square arcsecond), auroral lines in kilorayleigh.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from models.simulate.degrade import fractal_field
from observatory.analysis import SkyClass
from observatory.fisheye import Fisheye

FloatArray = NDArray[np.float32]

_EARTH_KM = 6371.0
_TILE = 256
_TILES = 16


@dataclass(frozen=True)
class Moon:
    """The Moon: where it stands, and the share of its disk that is lit."""

    elevation_deg: float
    azimuth_deg: float
    illuminated: float


@dataclass(frozen=True)
class Stars:
    """Stars above the horizon.

    Attributes
    ----------
    directions : ndarray, shape (n, 3)
        East, north, up.
    magnitudes : ndarray, shape (n,)
    warmth : ndarray, shape (n,)
        -1 (blue) to 1 (red).
    """

    directions: FloatArray
    magnitudes: FloatArray
    warmth: FloatArray


@dataclass(frozen=True)
class Fold:
    """One wave of a curtain: along x, km."""

    amplitude_km: float
    length_km: float
    phase: float


@dataclass(frozen=True)
class Curtain:
    """A sheet of aurora: an arc, or a folded and rayed band.

    Attributes
    ----------
    sky_class : SkyClass
        ARC or DISCRETE.
    north_km : float
        Where it crosses the meridian, north of the site, at 105 km height.
    tilt : float
        Kilometres north for every one east.
    from_km, to_km : float
        Ends, along east.
    bend_km : float
        How much the ends lie further south, 1000 km from the meridian.
    folds : tuple of Fold
    curl : float
        Folds that lean over, 0 to about 1.5.
    width_km : float
    brightness_kr : float
        Of 557.7 nm at its brightest.
    rays : float
        Contrast along the sheet, 0 (smooth) to 1.
    ray_km : float
        Length of the tile of rays.
    ray_offset_km : float
    bottom_km, depth_km : float
        Lower border, and the scale of the fall above it.
    red, blue : float
        Share of 630.0 (in the heights) and 427.8 nm.
    seed : int
    """

    sky_class: SkyClass
    north_km: float
    tilt: float
    from_km: float
    to_km: float
    bend_km: float
    folds: tuple[Fold, ...]
    curl: float
    width_km: float
    brightness_kr: float
    rays: float
    ray_km: float
    ray_offset_km: float
    bottom_km: float
    depth_km: float
    red: float
    blue: float
    seed: int


@dataclass(frozen=True)
class Glow:
    """Diffuse aurora: a wide band with patches.

    Attributes
    ----------
    north_km, half_width_km : float
    tilt : float
    patchiness : float
        0 (a veil) to 1 (islands).
    patch_km : float
        Length of the tile of patches.
    offset_km : tuple (east, north)
        Where the tile has drifted to.
    pulse : float
        Phase of pulsating patches, in turns.
    pulsation : float
        Depth of it, 0 to 1.
    brightness_kr : float
    red, blue : float
    seed : int
    """

    north_km: float
    half_width_km: float
    tilt: float
    patchiness: float
    patch_km: float
    offset_km: tuple[float, float]
    pulse: float
    pulsation: float
    brightness_kr: float
    red: float
    blue: float
    seed: int
    sky_class: SkyClass = SkyClass.DIFFUSE


@dataclass(frozen=True)
class Deck:
    """A layer of cloud.

    Attributes
    ----------
    height_km : float
    cover : float
        Share of it that is cloud, 0 to 1; 1 is overcast.
    depth : float
        Optical depth where it is thick.
    softness : float
        Width of its edges; 1 is a haze.
    scale_km : float
        Length of its tile.
    stretch : float
        Streaks: 1 for none.
    turn_deg : float
    offset_km : tuple (east, north)
    seed : int
    relief : float
        Contrast of its underside; 0 is as smooth as fog.
    lean, lean_deg : float
        How much thicker it is towards an azimuth than away from it.
    """

    height_km: float
    cover: float
    depth: float
    softness: float
    scale_km: float
    stretch: float
    turn_deg: float
    offset_km: tuple[float, float]
    seed: int
    relief: float = 0.25
    lean: float = 0.0
    lean_deg: float = 0.0


@dataclass(frozen=True)
class Cirrus:
    """A thin sheet of ice cloud, drawn out into fibres.

    Attributes
    ----------
    height_km : float
    cover : float
        Share of it that is cloud, 0 to 1.
    depth : float
        Optical depth at the zenith where it is thick: what a star loses.
    scale_km, fibre_km : float
        Lengths of the tiles of its patches, and of its fibres where they are cut across.
    stretch : float
        How much longer than wide fibres are.
    turn_deg : float
        Where they point, from east over north.
    bend : float
        How much they wind: 0 is straight, 1 hooked.
    texture : float
        Contrast of the fibres: 0 is a smooth veil.
    halo : float
        Of the ring at 22 degrees, 0 to 1.
    offset_km : tuple (east, north)
    seed : int
    """

    height_km: float
    cover: float
    depth: float
    scale_km: float
    fibre_km: float
    stretch: float
    turn_deg: float
    bend: float
    texture: float
    halo: float
    offset_km: tuple[float, float]
    seed: int


@dataclass(frozen=True)
class Town:
    """Lights beyond the horizon: a glow that is `level` skies bright at 5 degrees, `warmth` from 0 to 1."""

    azimuth_deg: float
    width_deg: float
    height_deg: float
    level: float
    warmth: float


@dataclass(frozen=True)
class Lamp:
    """A lamp in view."""

    elevation_deg: float
    azimuth_deg: float
    level: float
    warmth: float


@dataclass(frozen=True)
class Skyline:
    """What stands before the horizon.

    Attributes
    ----------
    base_deg, trees_deg : float
        Height of the hills, and of trees above them.
    blocks : tuple of (azimuth, half width, height), degrees
        Buildings and domes.
    masts : tuple of (azimuth, height), degrees
    glow : float
        Brightness of it all in natural skies.
    seed : int
    """

    base_deg: float = 1.0
    trees_deg: float = 0.0
    blocks: tuple[tuple[float, float, float], ...] = ()
    masts: tuple[tuple[float, float], ...] = ()
    glow: float = 0.05
    seed: int = 0


@dataclass(frozen=True)
class Dome:
    """The glass over the lens, and the lens.

    `snow` and `dew` cover 0 to 1; `dirt` is the share of light that strays, `ghosts` how many images of the Moon
    the surfaces throw back, `rings` how many rings and crescents of the sky's light about the zenith.
    """

    snow: float = 0.0
    dew: float = 0.0
    dirt: float = 0.005
    seed: int = 0
    ghosts: int = 1
    rings: int = 0


@dataclass(frozen=True)
class Scene:
    """A sky at one moment; `veil` is stray light of towns, spread evenly, in natural skies."""

    sun_elevation_deg: float
    sun_azimuth_deg: float
    stars: Stars
    moon: Moon | None = None
    airglow_kr: float = 0.25
    airglow_waves: float = 0.0
    natural: float = 1.0
    milky_way: tuple[float, float, float] | None = None
    milky_way_level: float = 0.5
    forms: tuple[Curtain | Glow, ...] = ()
    decks: tuple[Deck, ...] = ()
    cirrus: tuple[Cirrus, ...] = ()
    towns: tuple[Town, ...] = ()
    lamps: tuple[Lamp, ...] = ()
    veil: float = 0.0
    veil_warmth: float = 0.7
    skyline: Skyline = field(default_factory=Skyline)
    dome: Dome = field(default_factory=Dome)
    field_dip_deg: float = 77.0
    field_poleward: int = 1
    seed: int = 0


class View:
    """Directions of a camera's pixels; what many parts need is worked out once.

    Parameters
    ----------
    circle : Fisheye
    shape : tuple (height, width)
    """

    def __init__(self, circle: Fisheye, shape: tuple[int, int]) -> None:
        self.circle, self.shape = circle, shape
        zenith_deg, azimuth_deg = circle.directions(shape)
        self.is_inside = np.asarray(zenith_deg <= min(circle.max_zenith_deg, 92.0))
        self.zenith = np.radians(np.where(self.is_inside, np.minimum(zenith_deg, 90.0), 90.0)).astype(
            np.float32
        )
        self.azimuth = np.radians(azimuth_deg).astype(np.float32)
        self.true_zenith_deg = np.where(self.is_inside, zenith_deg, 99.0).astype(np.float32)
        sine = np.sin(self.zenith)
        self.up = np.cos(self.zenith)
        self.east = sine * np.sin(self.azimuth)
        self.north = sine * np.cos(self.azimuth)
        self.airmass = 1.0 / (self.up + 0.025 * np.exp(-11.0 * self.up))  # Rozenberg (1966)

    def cosine_to(self, elevation_deg: float, azimuth_deg: float) -> FloatArray:
        """Cosine of the angle of every pixel from a direction."""
        east, north, up = unit(elevation_deg, azimuth_deg)
        return np.asarray(self.east * east + self.north * north + self.up * up, np.float32)

    def ground_km(self, height_km: float) -> tuple[FloatArray, FloatArray]:
        """East and north of the place under the point of each line of sight at a height, on a round Earth."""
        reach = self._reach(height_km)
        return self._unit_east * reach, self._unit_north * reach

    @cached_property
    def _unit_east(self) -> FloatArray:
        return np.sin(self.azimuth)

    @cached_property
    def _unit_north(self) -> FloatArray:
        return np.cos(self.azimuth)

    @cached_property
    def _table(self) -> tuple[FloatArray, NDArray[np.intp], FloatArray]:
        angles = np.linspace(0.0, np.pi / 2, 513)
        place = self.zenith * np.float32(512.0 / (np.pi / 2))
        low = np.minimum(place.astype(np.intp), 511)
        return angles.astype(np.float32), low, (place - low).astype(np.float32)

    def _reach(self, height_km: float) -> FloatArray:
        angles, low, share = self._table
        there = np.arcsin(np.sin(angles) * (_EARTH_KM / (_EARTH_KM + height_km)))
        reach = ((angles - there) * _EARTH_KM).astype(np.float32)
        step = np.diff(reach)
        return np.asarray(reach[low] + share * step[low])


def unit(elevation_deg: float, azimuth_deg: float) -> tuple[float, float, float]:
    """East, north and up of a direction."""
    elevation, azimuth = np.radians(elevation_deg), np.radians(azimuth_deg)
    return (
        float(np.cos(elevation) * np.sin(azimuth)),
        float(np.cos(elevation) * np.cos(azimuth)),
        float(np.sin(elevation)),
    )


def tile(seed: int, slope_tenths: int) -> FloatArray:
    """Fractal noise of unit variance that repeats, shape (256, 256); one of a few for any seed."""
    return _tile(seed % _TILES, slope_tenths)


@lru_cache(maxsize=256)
def _tile(number: int, slope_tenths: int) -> FloatArray:
    return fractal_field(np.random.default_rng((number, slope_tenths)), _TILE, slope_tenths / 10.0)


def noise(
    x_km: FloatArray,
    y_km: FloatArray,
    seed: int,
    length_km: float,
    slope_tenths: int = 28,
    turn: float = 0.0,
    stretch: float = 1.0,
    offset_km: tuple[float, float] = (0.0, 0.0),
) -> FloatArray:
    """Fractal noise at places: a tile of `length_km`, turned, stretched and moved."""
    scale = _TILE / length_km
    shift = np.random.default_rng(seed).uniform(0, _TILE, 2)
    cosine, sine = np.cos(turn), np.sin(turn)
    x, y = x_km - np.float32(offset_km[0]), y_km - np.float32(offset_km[1])
    column = (x * np.float32(cosine * scale / stretch) + y * np.float32(sine * scale / stretch)) + np.float32(
        shift[0]
    )
    row = (y * np.float32(cosine * scale) - x * np.float32(sine * scale)) + np.float32(shift[1])
    # The remapping counts places in 16 bits: fold them into the tile first.
    np.mod(column, np.float32(_TILE), out=column)
    np.mod(row, np.float32(_TILE), out=row)
    return np.asarray(
        cv2.remap(tile(seed, slope_tenths), column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    )
