"""Light of the simulated night sky apart from aurora: stars, Moon, twilight, airglow, towns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.simulate.allsky_scene import Lamp, Moon, Scene, Stars, Town, View, noise

FloatArray = NDArray[np.float32]

# Spectra in `allsky_cameras.BANDS`: three parts of the continuum, then three lines.
NATURAL = (0.9, 1.0, 1.1, 0.0, 0.0, 0.0)
AIRGLOW = (0.0, 0.0, 0.05, 1.0, 0.35, 0.05)
MOONLIGHT = (1.25, 1.0, 0.8, 0.0, 0.0, 0.0)
TWILIGHT_BLUE = (2.0, 1.05, 0.55, 0.0, 0.0, 0.05)
TWILIGHT_RED = (0.5, 0.85, 1.6, 0.0, 0.0, 0.0)
SODIUM = (0.25, 0.85, 1.7, 0.02, 0.1, 0.0)
LAMP_WHITE = (1.0, 1.0, 1.0, 0.05, 0.05, 0.05)

_SKY_MAG_DEG2 = 21.6 - 2.5 * np.log10(3600.0**2)  # magnitude of a square degree of natural sky
_EXTINCTION_MAG = 0.15
_NATURAL_NL = 79.0  # nanolamberts of 21.6 mag per square arcsecond (Krisciunas & Schaefer 1991, eq. 27)
# Zenith brightness in natural skies against the Sun's height, after Patat, Ugolnikov & Postylyakov (2006).
_TWILIGHT_SUN_DEG = (-90.0, -18.0, -15.0, -12.0, -9.0, -6.0, -3.0, 0.0, 90.0)
_TWILIGHT_LOG = (-6.0, -1.3, -0.1, 1.1, 2.4, 3.7, 4.9, 5.8, 6.8)


def spectrum_between(cool: tuple[float, ...], warm: tuple[float, ...], warmth: float) -> FloatArray:
    """Mixture of two spectra."""
    return np.asarray((1 - warmth) * np.asarray(cool) + warmth * np.asarray(warm), np.float32)


def extinction(view: View) -> FloatArray:
    """Transmission of clear air, 1 at the zenith."""
    return np.asarray(10 ** (-0.4 * _EXTINCTION_MAG * (np.minimum(view.airmass, 30.0) - 1.0)), np.float32)


def natural_sky(scene: Scene, view: View) -> FloatArray:
    """Starlight and zodiacal light in natural skies, with the Milky Way."""
    level = np.full(view.shape, 0.75 * scene.natural, np.float32)
    if scene.milky_way is not None:
        east, north, up = scene.milky_way
        height = view.east * np.float32(east) + view.north * np.float32(north) + view.up * np.float32(up)
        dust = noise(view.east * 60, view.north * 60, scene.seed, 90.0, 24)
        level += (
            np.float32(scene.milky_way_level)
            * np.exp(-np.square(height / 0.16))
            * np.clip(0.9 + 0.45 * dust, 0.1, 2.0)
        )
    return level * extinction(view)


def airglow(scene: Scene, view: View) -> FloatArray:
    """557.7 nm of the airglow in kR, brighter towards the horizon, with waves."""
    sine = np.sin(view.zenith) * np.float32(6371.0 / 6466.0)
    shape = np.float32(scene.airglow_kr) / np.sqrt(1.0 - np.square(sine))
    if scene.airglow_waves > 0:
        east, north = view.ground_km(95.0)
        waves = noise(east, north, scene.seed + 5, 420.0, 34, turn=scene.seed % 7, stretch=4.0)
        shape = shape * np.clip(1.0 + np.float32(scene.airglow_waves) * waves, 0.3, 2.0)
    return np.asarray(shape * extinction(view), np.float32)


def moonlight(moon: Moon, view: View) -> FloatArray:
    """Moonlit air in natural skies (Krisciunas & Schaefer 1991, equations 3, 20 and 21)."""
    if moon.elevation_deg < -1.0:
        return np.zeros(view.shape, np.float32)
    cosine = view.cosine_to(moon.elevation_deg, moon.azimuth_deg)
    apart_deg = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    scatter = 10**5.36 * (1.06 + np.square(cosine)) + 10 ** (6.15 - apart_deg / 40.0)
    direct = 10 ** (-0.4 * _EXTINCTION_MAG * _moon_airmass(moon))
    air = 1.0 - 10 ** (-0.4 * _EXTINCTION_MAG * np.minimum(view.airmass, 12.0))
    return np.asarray(_moon_candles(moon) * scatter * direct * air / _NATURAL_NL, np.float32)


def moon_disc(moon: Moon, extinction_mag: float = _EXTINCTION_MAG) -> float:
    """Light of the Moon itself in natural skies times square degrees, behind air that takes so much at the zenith."""
    if moon.elevation_deg < -0.3:
        return 0.0
    magnitude = -2.5 * np.log10(max(_moon_candles(moon), 1e-9)) - 16.57
    return float(10 ** (0.4 * (_SKY_MAG_DEG2 - magnitude - extinction_mag * _moon_airmass(moon))))


def glare(
    view: View, elevation_deg: float, azimuth_deg: float, light: float, core_deg: float = 1.2
) -> FloatArray:
    """Light that strays in the lens about a bright point, in natural skies; its sum is `light`."""
    apart = 2.0 * np.degrees(1.0) ** 2 * (1.0 - view.cosine_to(elevation_deg, azimuth_deg))
    return np.asarray(light / (2 * np.pi * 3.8) / (apart + np.float32(core_deg**2)), np.float32)


def twilight(scene: Scene, view: View) -> tuple[FloatArray, FloatArray]:
    """Blue and red light of twilight in natural skies."""
    if scene.sun_elevation_deg < -19.0:
        nothing = np.zeros(view.shape, np.float32)
        return nothing, nothing
    zenith = 10 ** float(np.interp(scene.sun_elevation_deg, _TWILIGHT_SUN_DEG, _TWILIGHT_LOG))
    towards = np.cos(view.azimuth - np.float32(np.radians(scene.sun_azimuth_deg)))
    low = np.sin(view.zenith)
    steep = np.float32(np.interp(scene.sun_elevation_deg, (-18, -10, -4, 0), (2.6, 2.0, 1.1, 0.5)))
    blue = np.float32(zenith) * np.exp(steep * towards * low**2 + 0.4 * low**2)
    height_deg = 90.0 - np.degrees(view.zenith)
    band = np.exp(-height_deg / np.float32(9.0)) * np.exp(1.5 * (towards - 1.0))
    red = np.float32(zenith) * np.float32(np.exp(steep * 1.15)) * band * 1.5
    return np.asarray(blue * extinction(view), np.float32), np.asarray(red, np.float32)


def town_glow(town: Town, view: View) -> FloatArray:
    """Glow of a town above the horizon, in natural skies."""
    apart = view.azimuth - np.float32(np.radians(town.azimuth_deg))
    near = np.exp((np.cos(apart) - 1.0) / np.float32(2.0 * np.radians(town.width_deg) ** 2))
    height_deg = np.maximum(90.0 - np.degrees(view.zenith), 0.0)
    return np.asarray(
        town.level * np.exp(-(height_deg - 5.0) / np.float32(town.height_deg)) * (0.9 * near + 0.06),
        np.float32,
    )


def draw_stars(stars: Stars, view: View, through: FloatArray) -> tuple[FloatArray, FloatArray]:
    """White and warm light of the stars: pixels' mean in natural skies, each star in one pixel.

    Parameters
    ----------
    through : ndarray, shape (height, width)
        Transmission of air and cloud.
    """
    height, width = view.shape
    white, warm = np.zeros(view.shape, np.float32), np.zeros(view.shape, np.float32)
    if not len(stars.magnitudes):
        return white, warm
    zenith_deg = np.degrees(np.arccos(np.clip(stars.directions[:, 2], -1, 1)))
    azimuth_deg = np.degrees(np.arctan2(stars.directions[:, 0], stars.directions[:, 1]))
    x, y = view.circle.pixel(zenith_deg, azimuth_deg)
    column, row = np.round(x).astype(int), np.round(y).astype(int)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (zenith_deg < 89.0)
    column, row = column[inside], row[inside]
    pixel_deg2 = (view.circle.max_zenith_deg / view.circle.radius_px) ** 2 * view.circle.aspect
    light = 10 ** (0.4 * (_SKY_MAG_DEG2 - stars.magnitudes[inside])) / pixel_deg2 * through[row, column]
    warmth = stars.warmth[inside]
    np.add.at(white, (row, column), light * (1 - 0.5 * (warmth + 1) / 2))
    np.add.at(warm, (row, column), light * 0.5 * (warmth + 1) / 2)
    return white, warm


def draw_point(
    view: View, elevation_deg: float, azimuth_deg: float, light: float, radius_px: float
) -> FloatArray:
    """A small disc of light, its sum `light` natural skies times square degrees."""
    x, y = view.circle.pixel(np.asarray(90.0 - elevation_deg), np.asarray(azimuth_deg))
    rows, columns = np.ogrid[0 : view.shape[0], 0 : view.shape[1]]
    disc = np.clip(radius_px + 0.5 - np.hypot(columns - x, (rows - y) / view.circle.aspect), 0, 1)
    total = float(disc.sum())
    if total < 0.2:
        return np.zeros(view.shape, np.float32)
    pixel_deg2 = (view.circle.max_zenith_deg / view.circle.radius_px) ** 2
    return np.asarray(disc * (light / pixel_deg2 / max(total, np.pi * radius_px**2 * 0.5)), np.float32)


def lamp_light(lamp: Lamp, view: View) -> FloatArray:
    """A lamp on the horizon, with its stray light."""
    disc = draw_point(
        view, lamp.elevation_deg, lamp.azimuth_deg, 3.0 * lamp.level, 0.012 * view.circle.radius_px + 0.4
    )
    return disc + glare(view, lamp.elevation_deg, lamp.azimuth_deg, 0.8 * lamp.level, 2.0)


def _moon_candles(moon: Moon) -> float:
    """Illuminance outside the air in the unit of Krisciunas & Schaefer (1991, eq. 20)."""
    phase_deg = float(np.degrees(np.arccos(np.clip(2.0 * moon.illuminated - 1.0, -1, 1))))
    return float(10 ** (-0.4 * (3.84 + 0.026 * phase_deg + 4e-9 * phase_deg**4)))


def _moon_airmass(moon: Moon) -> float:
    sine = np.sin(np.radians(max(moon.elevation_deg, -1.0)))
    return float(min(1.0 / (sine + 0.025 * np.exp(-11.0 * sine)), 40.0))
